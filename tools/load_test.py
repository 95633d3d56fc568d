#!/usr/bin/env python3
"""Loads a server of its own with many clients of mixed manners, and checks that every one gets what is right.

    load_test.py LYRE [--connections N] [--seconds T] [--rate R] [--leave PERCENT] [--slow PERCENT] [--json FILE]
                      [-- FLAGS OF LYRE SERVE]

Requests arrive at random (Poisson), at most N at a time; some clients leave in the middle, some read slowly. The exit status is
1 unless: no answer is an error but 429; every speech as pcm or wav that was heard to its end is, byte for byte, what it is alone with
the same seed; afterwards nothing runs, all memory of the model is free and no descriptor is left over; and the memory of the
process did not grow over the second half. For docs/benchmarks: load_test.py LYRE --connections 200 --seconds 180 --json FILE
"""
import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import this_machine  # noqa: E402

RATE_HZ = 24000
WAV_HEADER_BYTES = 44
SLOW_BYTES_PER_S = 200_000  # about four times as fast as speech
TEXTS = [
    "Yes.",
    "Good morning, how can I help you?",
    "The weather is fine today, is it not?",
    "Your order left the warehouse this morning and will arrive on Friday, before noon.",
    "One sentence follows another. Some are short. Others take longer, for they have more to say, and say it slowly.",
]
SEEDS = 3
# Path, format, share of the requests. Only of pcm and wav are the bytes compared.
MIX = [("/v1/audio/speech", "pcm", 4), ("/v1/audio/speech", "wav", 3), ("/v1/audio/speech/stream", "pcm", 3)]
ENCODED = [("/v1/audio/speech", "mp3", 2), ("/v1/audio/speech", "opus", 1), ("/v1/audio/speech", "flac", 1)]


class Broken(Exception):
    """The server's fault."""


class Server:
    def __init__(self, program, flags):
        self.process = subprocess.Popen([program, "serve", "--port", "0", "--log-format", "json", *flags],
                                        stderr=subprocess.PIPE, text=True)
        self.port, last = None, ""
        for line in self.process.stderr:
            last = line
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("message") == "ready":
                self.port = int(entry["url"].rsplit(":", 1)[1])
                break
        if self.port is None:
            raise SystemExit("The server did not start: " + last)
        # The rest of the log must be read, or the server would wait for it.
        self.drain = asyncio.get_running_loop().run_in_executor(None, self._read_log)

    def _read_log(self):
        for _ in self.process.stderr:
            pass

    def resident_bytes(self):
        fields = Path("/proc/%d/statm" % self.process.pid).read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    async def stop(self):
        self.process.terminate()
        await self.drain
        return self.process.wait()


class Request:
    """One request over a connection of its own; what became of it."""

    def __init__(self, port, method, path, fields=None):
        body = json.dumps(fields).encode() if fields is not None else b""
        self.port = port
        self.head = b"%s %s HTTP/1.1\r\nHost: lyre\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (
            method.encode(), path.encode(), len(body)) + body

    async def run(self, leave_after_bytes=None, bytes_per_s=None):
        """Status, body and time to its first byte; body None if this client left."""
        # A small window, so that a slow reader is felt by the server.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=65536)
        try:
            begin = time.monotonic()
            writer.write(self.head)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split()[1])
            if "transfer-encoding: chunked" not in head:
                length = int(re.search(r"content-length: (\d+)", head).group(1))
                return status, await reader.readexactly(length), time.monotonic() - begin
            body, first = bytearray(), None
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                if size == 0:
                    await reader.readuntil(b"\r\n\r\n")  # there is always a trailer
                    return status, bytes(body), first
                body += await reader.readexactly(size)
                await reader.readexactly(2)
                if first is None:
                    first = time.monotonic() - begin
                if leave_after_bytes is not None and len(body) > leave_after_bytes:
                    return status, None, first
                if bytes_per_s:
                    await asyncio.sleep(size / bytes_per_s)
        except asyncio.IncompleteReadError as failure:
            raise Broken("the body broke off") from failure
        finally:
            writer.transport.abort()


async def readyz(port):
    return json.loads((await Request(port, "GET", "/readyz").run())[1])


def samples(fmt, body):
    return body[WAV_HEADER_BYTES:] if fmt == "wav" else body


class Load:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.random = random.Random(options.seed)
        self.alone = {}  # (text, voice, seed): digest and seconds of its speech
        self.first_audio_s, self.failures = [], []
        self.counts = {"completed": 0, "left": 0, "slow": 0, "busy": 0}
        self.audio_s = 0.0
        self.resident = []

    async def learn(self):
        """Everything that will be asked for, one at a time."""
        for text in TEXTS:
            for voice in self.options.voices:
                for seed in range(SEEDS):
                    status, body, _ = await Request(self.server.port, "POST", "/v1/audio/speech", {
                        "input": text, "voice": voice, "seed": seed, "response_format": "pcm"}).run()
                    if status != 200:
                        raise SystemExit("alone: %d %s" % (status, body[:300]))
                    self.alone[text, voice, seed] = (hashlib.sha256(body).digest(), len(body) / 2 / RATE_HZ)

    def one(self):
        path, fmt, _ = self.random.choices(self.options.mix, [share for _, _, share in self.options.mix])[0]
        key = (self.random.choice(TEXTS), self.random.choice(self.options.voices), self.random.randrange(SEEDS))
        manner = self.random.uniform(0, 100)
        leave = self.random.randrange(100_000) if manner < self.options.leave else None
        slow = SLOW_BYTES_PER_S if self.options.leave <= manner < self.options.leave + self.options.slow else None
        return path, fmt, key, leave, slow

    async def speak(self, path, fmt, key, leave, slow):
        fields = dict(zip(("input", "voice", "seed"), key))
        if path == "/v1/audio/speech":
            fields["response_format"] = fmt
        try:
            status, body, first_s = await Request(self.server.port, "POST", path, fields).run(leave, slow)
        except (Broken, OSError, ValueError) as failure:
            self.failures.append("%s %s: %r" % (path, fmt, failure))
            return
        if status == 429:
            self.counts["busy"] += 1
            return
        if status != 200:
            self.failures.append("%s %s: %d %s" % (path, fmt, status, body[:200]))
            return
        self.first_audio_s.append(first_s)
        if body is None:
            self.counts["left"] += 1
            return
        digest, audio_s = self.alone[key]
        self.counts["completed"] += 1
        self.counts["slow"] += slow is not None
        self.audio_s += audio_s
        if fmt in ("pcm", "wav") and hashlib.sha256(samples(fmt, body)).digest() != digest:
            self.failures.append("%s %s: other samples than alone for %r" % (path, fmt, key))

    async def run(self):
        running = set()
        begin = time.monotonic()
        arrival = next_sample = begin
        while (now := time.monotonic()) < begin + self.options.seconds:
            if now >= next_sample:
                self.resident.append(self.server.resident_bytes())
                next_sample += self.options.seconds / 40
            if arrival <= now and len(running) < self.options.connections:
                arrival = max(arrival, now - 1) + self.random.expovariate(self.options.rate)
                task = asyncio.create_task(self.speak(*self.one()))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(min(max(arrival - now, 0.001), 0.05))
        if running:
            await asyncio.wait(running)
        return time.monotonic() - begin

    async def settled(self, descriptors):
        """What is still held a while after everybody has gone; nothing is right."""
        deadline = time.monotonic() + 60
        while True:
            load = await readyz(self.server.port)
            held = []
            if load["running"] or load["queued"]:
                held.append("%d run and %d wait" % (load["running"], load["queued"]))
            if load["free_kv_tokens"] != load["total_kv_tokens"]:
                held.append("KV tokens are in use")
            if self.server.descriptors() > descriptors:
                held.append("%d descriptors, %d before" % (self.server.descriptors(), descriptors))
            if not held or time.monotonic() > deadline:
                return held
            await asyncio.sleep(0.05)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else None


async def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("lyre")
    a.add_argument("--connections", type=int, default=50, help="at a time, at most")
    a.add_argument("--seconds", type=float, default=20)
    a.add_argument("--rate", type=float, help="requests a second (default: half as many as connections)")
    a.add_argument("--leave", type=float, default=15, help="percent of the clients that leave in the middle")
    a.add_argument("--slow", type=float, default=10, help="percent that read slowly")
    a.add_argument("--seed", type=int, default=1, help="of the load")
    a.add_argument("--voices", type=lambda text: text.split(","), default=["ada", "max"])
    a.add_argument("--growth-mib", type=float, default=16, help="that the process may grow by over the second half")
    a.add_argument("--only-pcm", action="store_true", help="no encoded formats")
    a.add_argument("--json", type=Path)
    # argparse cannot tell the flags of another program from its own.
    own = sys.argv[1:]
    flags = own[own.index("--") + 1:] if "--" in own else []
    o = a.parse_args(own[:len(own) - len(flags) - 1] if "--" in own else own)
    o.flags = flags
    o.rate = o.rate or o.connections / 2
    o.mix = MIX if o.only_pcm else MIX + ENCODED

    server = Server(o.lyre, o.flags)
    load = Load(server, o)
    try:
        await load.learn()
        await asyncio.sleep(0)
        descriptors = server.descriptors()
        wall_s = await load.run()
        load.failures += await load.settled(descriptors)
        half = load.resident[len(load.resident) // 2:]
        grown_mib = (max(half[-5:]) - max(half[:5])) / 2**20 if len(half) >= 10 else 0
        if grown_mib > o.growth_mib:
            load.failures.append("the process grew by %.1f MiB over the second half" % grown_mib)
        peak_mib = max(load.resident) / 2**20
    finally:
        status = await server.stop()
    if status != 0:
        load.failures.append("the server ended with %d" % status)

    first_ms = {"p%d" % round(100 * q): round(1000 * quantile(load.first_audio_s, q), 2) for q in (0.5, 0.9, 0.99)
                if load.first_audio_s}
    result = {"machine": this_machine.machine(), "commit": this_machine.git("rev-parse", "--short=10", "HEAD"),
              "connections": o.connections, "seconds": round(wall_s, 1), "rate": o.rate, "leave_percent": o.leave,
              "slow_percent": o.slow, **load.counts, "first_audio_ms": first_ms,
              "audio_s_per_s": round(load.audio_s / wall_s, 1), "peak_resident_mib": round(peak_mib, 1),
              "grown_mib_second_half": round(grown_mib, 2), "failures": load.failures[:20]}
    print(json.dumps(result, indent=1))
    if o.json:
        o.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if load.failures or not load.counts["completed"] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
