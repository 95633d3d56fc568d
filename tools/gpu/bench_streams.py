#!/usr/bin/env python3
"""Many listeners of one `lyre serve`: who waits how long for the first audio, and does anybody run dry?

    python3 tools/gpu/bench_streams.py LYRE VOICE_FOLDER [--streams 216] [--seconds 12] [--over 8] [--flags "--max-batch 256"] [--out FILE]

Arrivals are Poisson: --streams requests over --over seconds, each of --seconds of audio (random weights end by nothing but their limit of
tokens), so that about all of them run at the same time. Each is played in real time from its first byte, in thought: the least lead is how
close it came to silence. Only the standard library.
"""
import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench_warmup import Server  # noqa: E402

BYTES_A_SECOND = 24000 * 2
TEXT = ("Whoever listens to this hears a long sentence that was written to be spoken for some time, by many voices at once, none of "
        "which should have to wait for another")


async def listen(port, seed, tokens, begin, results):
    await asyncio.sleep(begin)
    body = json.dumps({"input": TEXT, "seed": seed, "response_format": "pcm", "max_tokens": tokens, "fast_start": True}).encode()
    head = (f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n").encode()
    asked = time.perf_counter()
    result = {"seed": seed, "first_ms": None, "audio_s": 0.0, "least_lead_ms": None, "status": 0}
    results.append(result)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + body)
    await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    result["status"] = int(answer.split(b" ", 2)[1])
    chunked = b"chunked" in answer.lower()
    first, got, least = None, 0, None
    while result["status"] == 200 and chunked:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = await reader.readexactly(size + 2)
        if size == 0:
            break
        now = time.perf_counter()
        if first is None:
            first = now
        else:
            # What had come before this piece, against what has been played since the first byte.
            lead = got / BYTES_A_SECOND - (now - first)
            least = lead if least is None else min(least, lead)
        got += len(data) - 2
    if first is not None:
        result.update(first_ms=1e3 * (first - asked), audio_s=got / BYTES_A_SECOND, least_lead_ms=None if least is None else 1e3 * least,
                      total_s=time.perf_counter() - asked)
    writer.close()


async def crowd(port, o):
    rng, at, results, tasks = random.Random(1), 0.0, [], []
    tokens = int(o.seconds * 24000 / 2048) * 7
    for i in range(o.streams):
        at += rng.expovariate(o.streams / o.over)
        tasks.append(asyncio.create_task(listen(port, i + 1, tokens, at, results)))
    begin = time.perf_counter()
    cpu = time.process_time()
    await asyncio.gather(*tasks)
    return results, time.perf_counter() - begin, time.process_time() - cpu


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("lyre")
    a.add_argument("voice")
    a.add_argument("--streams", type=int, default=216)
    a.add_argument("--seconds", type=float, default=12)
    a.add_argument("--over", type=float, default=8)
    a.add_argument("--flags", type=str.split, default=["--max-batch", "256", "--max-queue", "512"])
    a.add_argument("--out", type=Path)
    o = a.parse_args()
    with Server(o.lyre, ["--voice-dir", o.voice, *o.flags]) as server:
        server.wait_until_ready()
        results, wall, cpu = asyncio.run(crowd(server.port, o))
    spoken = [r for r in results if r["first_ms"] is not None]
    firsts = [r["first_ms"] for r in spoken]
    leads = [r["least_lead_ms"] for r in spoken if r["least_lead_ms"] is not None]
    row = {"name": "streams", "streams": o.streams, "spoken": len(spoken), "over_s": o.over, "audio_s_each": statistics.median(r["audio_s"] for r in spoken),
           "first_audio_ms_p50": percentile(firsts, 0.5), "first_audio_ms_p99": percentile(firsts, 0.99),
           "least_lead_ms_p1": percentile(leads, 0.01), "ran_dry": sum(lead < 0 for lead in leads),
           "audio_seconds_per_second": sum(r["audio_s"] for r in spoken) / wall, "wall_s": wall, "client_cpu": cpu / wall}
    print("%d of %d streams of %.1f s, Poisson over %g s: first audio p50 %.1f, p99 %.1f ms; least lead, 1st percentile %.0f ms; %d ran dry; "
          "%.0f seconds of audio a second; client at %.0f %% of a core"
          % (len(spoken), o.streams, row["audio_s_each"], o.over, row["first_audio_ms_p50"], row["first_audio_ms_p99"], row["least_lead_ms_p1"],
             row["ran_dry"], row["audio_seconds_per_second"], 100 * row["client_cpu"]))
    if o.out:
        o.out.write_text(json.dumps({"bench": "streams", "flags": o.flags, "results": [row]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
