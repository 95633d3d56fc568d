#!/usr/bin/env python3
"""`lyre serve` over loopback: start to ready, first request against later ones, time to first audio.

    python3 tools/gpu/bench_serve.py LYRE VOICE_FOLDER [--processes 3] [--later 20] [--flags "--weights fp8"] [--out FILE]

Fresh processes, fast start on and off in turns. A request is one sentence with a limit on its tokens, for random weights
end by nothing else. Only the standard library.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench_warmup import TEXT, Server  # noqa: E402


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("lyre")
    a.add_argument("voice")
    a.add_argument("--processes", type=int, default=3)
    a.add_argument("--later", type=int, default=20)
    a.add_argument("--max-tokens", type=int, default=84)
    a.add_argument("--flags", type=str.split, default=[])
    a.add_argument("--out", type=Path)
    o = a.parse_args()
    rows, ready = [], []
    for fast_start in (True, False):
        body = json.dumps({"input": TEXT, "seed": 1, "response_format": "pcm", "max_tokens": o.max_tokens,
                           "fast_start": fast_start}).encode()
        firsts, later, first_totals, totals, audio, warmup = [], [], [], [], set(), None
        for _ in range(o.processes):
            with Server(o.lyre, ["--voice-dir", o.voice, *o.flags]) as server:
                ready.append(server.wait_until_ready())
                requests = [server.speak(body) for _ in range(o.later + 1)]
                warmup = server.get("/v1/warmup")
            firsts.append(requests[0]["first_audio_ms"])
            first_totals.append(requests[0]["total_ms"])
            later += [request["first_audio_ms"] for request in requests[1:]]
            totals += [request["total_ms"] for request in requests[1:]]
            audio |= {request["audio"] for request in requests}
        later.sort()
        row = {"name": "serve", "fast_start": fast_start, "first_audio_ms_p50": statistics.median(later),
               "first_audio_ms_p90": later[int(0.9 * (len(later) - 1))], "first_request_ms": firsts,
               "first_over_steady": max(firsts) / statistics.median(later), "total_ms_p50": statistics.median(totals),
               "first_total_over_steady": max(first_totals) / statistics.median(totals), "distinct_audio": len(audio),
               "warmup": warmup}
        rows.append(row)
        print("fast start %s: first audio p50 %.2f ms, p90 %.2f; first requests %s, worst %.2f times the median; whole %.1f ms%s"
              % ("on" if fast_start else "off", row["first_audio_ms_p50"], row["first_audio_ms_p90"],
                 ", ".join("%.2f" % ms for ms in firsts), row["first_over_steady"], row["total_ms_p50"],
                 "" if len(audio) == 1 else "; THE AUDIO DIFFERS: %d kinds" % len(audio)), flush=True)
    print("start to ready: %s ms" % ", ".join("%.0f" % ms for ms in ready))
    if o.out:
        o.out.write_text(json.dumps({"bench": "serve", "flags": o.flags, "ready_ms": ready, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
