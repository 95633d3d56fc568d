#!/usr/bin/env python3
"""Measures what warm means: the first request of fresh servers, requests after idle times, and the start.

    python3 tools/bench_warmup.py BUILD_FOLDER [--random-voice FOLDER] [--parts first,idle,start] [--out FILE]
    python3 tools/bench_warmup.py --from docs/benchmarks/warmup.json      prints the tables again

first: fresh server processes; a request the moment /readyz turns 200, then more of the same, each on a new connection;
       with the warm-up and with --warmup=false. The audio of all requests of a case must be equal, or it fails.
idle:  a request after so many seconds of idleness against requests back to back, with --keep-warm off and on, and the
       CPU time that keeping warm takes. One server for each idle time; they wait side by side and speak one at a time.
start: from the start of the process to /readyz 200, and the bytes of the weights over that time, beside what reading
       the same files costs. With --drop-caches (as root) also with an empty page cache.

--random-voice: a folder of tools/make_random_voice.py (full-size codec, mid-size language model). Only the standard
library. Parts that are not measured are kept from the older file.
"""
import argparse
import concurrent.futures
import datetime
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from this_machine import git, machine

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 600  # against hanging only
TEXT = "The quick brown fox jumps over the lazy dog."
TICKS = os.sysconf("SC_CLK_TCK")
WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth")


# --- a server and its client ---

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`lyre serve` as a fresh process."""

    def __init__(self, program, flags):
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        self.started = time.perf_counter()
        self.process = subprocess.Popen([program, "serve", "--port", str(self.port), "--log-format", "json", *flags],
                                        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def check(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise SystemExit("the server ended with %d:\n%s" % (self.process.returncode, self.log.read().decode()[-2000:]))

    def wait_until_ready(self):
        """Milliseconds from the start of the process until /readyz answered 200."""
        connection = None
        while time.perf_counter() - self.started < PATIENCE_S:
            try:
                if connection is None:
                    connection = connect(self.port)
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: lyre\r\n\r\n")
                status, _ = read_plain(connection)
                if status == 200:
                    connection.close()
                    return 1000 * (time.perf_counter() - self.started)
            except OSError:
                connection = None
                self.check()
            time.sleep(0.001)
        raise SystemExit("the server was not ready after %d s" % PATIENCE_S)

    def get(self, path):
        with connect(self.port) as connection:
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: lyre\r\n\r\n" % path.encode())
            status, body = read_plain(connection)
        return json.loads(body) if status == 200 else None

    def cpu_s(self):
        fields = Path("/proc/%d/stat" % self.process.pid).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS  # user and system time

    def speak(self, body):
        """A request on a connection of its own: milliseconds to the first sample and to the last, hash of the samples."""
        begin = time.perf_counter()
        with connect(self.port) as connection:
            connection.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: lyre\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
            data = bytearray()
            first = None
            while True:
                part = connection.recv(1 << 16)
                if not part:
                    raise SystemExit("the server closed the connection: %r" % bytes(data[:300]))
                data += part
                if first is None:
                    head = data.find(b"\r\n\r\n")
                    # The head, the size of the first chunk, and a byte of it.
                    if head >= 0 and data.find(b"\r\n", head + 4) >= 0 and \
                            len(data) > data.find(b"\r\n", head + 4) + 2:
                        first = time.perf_counter()
                # The last chunk, and trailers that end with an empty line.
                if data.endswith(b"\r\n\r\n") and b"\r\n0\r\n" in data[-512:]:
                    break
            end = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 200 "):
            raise SystemExit("expected 200, found %r" % bytes(data[:300]))
        return {"first_audio_ms": 1000 * (first - begin), "total_ms": 1000 * (end - begin),
                "audio": hashlib.sha256(dechunked(bytes(data[data.find(b"\r\n\r\n") + 4:]))).hexdigest()[:16]}


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_plain(connection):
    """Status and body of an answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1 << 16)
        if not part:
            raise OSError("closed")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        part = connection.recv(1 << 16)
        if not part:
            raise OSError("closed")
        body += part
    return int(head.split()[1]), body


def dechunked(data):
    out, at = b"", 0
    while True:
        line_end = data.index(b"\r\n", at)
        size = int(data[at:line_end].split(b";")[0], 16)
        if size == 0:
            return out
        out += data[line_end + 2:line_end + 2 + size]
        at = line_end + 2 + size + 2


# --- what is measured ---

class Case:
    """A voice, and a request for it."""

    def __init__(self, name, folder, max_tokens):
        self.name, self.folder, self.max_tokens = name, Path(folder).resolve(), max_tokens
        request = {"input": TEXT, "seed": 1, "response_format": "pcm"}
        if max_tokens:
            request["max_tokens"] = max_tokens
        self.body = json.dumps(request).encode()
        self.flags = ["--voice-dir", str(self.folder)]

    def weight_files(self):
        return [file for file in sorted(self.folder.rglob("*")) if file.suffix in WEIGHT_FILES]

    def weight_bytes(self):
        return sum(file.stat().st_size for file in self.weight_files())


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure_first(program, case, flags, processes, later):
    """The first request of fresh processes against the later ones."""
    runs = []
    for i in range(processes):
        with Server(program, case.flags + flags) as server:
            ready_ms = server.wait_until_ready()
            requests = [server.speak(case.body) for _ in range(later + 1)]
            warmup = server.get("/v1/warmup")
        runs.append({"ready_ms": ready_ms, "requests": requests})
        if i == 0:
            first_warmup = warmup
        say("%s %s: %d of %d, first audio %.1f ms, then %.1f ms" % (
            case.name, " ".join(flags), i + 1, processes, requests[0]["first_audio_ms"],
            statistics.median(r["first_audio_ms"] for r in requests[1:])))
    audio = {request["audio"] for run in runs for request in run["requests"]}
    if len(audio) != 1:
        raise SystemExit("%s %s: the audio differs between requests: %s" % (case.name, flags, sorted(audio)))
    result = {"processes": processes, "later_requests": later, "audio": audio.pop(),
              "ready_ms": spread([run["ready_ms"] for run in runs]), "warmup": first_warmup}
    for time_name in ("first_audio_ms", "total_ms"):
        first = [run["requests"][0][time_name] for run in runs]
        steady = [statistics.median(r[time_name] for r in run["requests"][1:]) for run in runs]
        # How far a later request may lie from the median without being the first: what 1.1 is to be seen against.
        noise = [r[time_name] / s for run, s in zip(runs, steady) for r in run["requests"][1:]]
        noise.sort()
        result[time_name] = {"first": spread(first), "steady": spread(steady),
                             "ratio": spread([f / s for f, s in zip(first, steady)]),
                             "later_ratio_p90": noise[int(0.9 * (len(noise) - 1))], "firsts": first, "steadies": steady}
    return result


def part_first(program, cases, o):
    rows = []
    for case in cases:
        say("%s: rehearsal of the client" % case.name)
        measure_first(program, case, [], 1, 3)
        for name, flags in (("warm", o.warm_flags), ("no warm-up", o.cold_flags)):
            rows.append({"voice": case.name, "case": name, "flags": flags, "max_tokens": case.max_tokens,
                         **measure_first(program, case, flags, o.processes, o.later)})
    by_voice = {}
    for row in rows:
        if by_voice.setdefault(row["voice"], row["audio"]) != row["audio"]:
            raise SystemExit("%s: the audio differs with and without warm-up" % row["voice"])
    return rows


ONE_AT_A_TIME = threading.Lock()


def measure_idle(program, case, idle_s, repetitions, keep_warm):
    """Requests after idle_s seconds without any, and right behind each of them some back to back."""
    flags = ["--keep-warm", str(keep_warm)] if keep_warm else []
    with Server(program, case.flags + flags) as server:
        with ONE_AT_A_TIME:
            server.wait_until_ready()
            for _ in range(5):
                server.speak(case.body)
        after, behind, idle_cpu, idle_wall = [], [], 0.0, 0.0
        for _ in range(repetitions):
            cpu, wall = server.cpu_s(), time.perf_counter()
            time.sleep(idle_s)
            with ONE_AT_A_TIME:
                idle_cpu += server.cpu_s() - cpu
                idle_wall += time.perf_counter() - wall
                after.append(server.speak(case.body))
                behind += [server.speak(case.body) for _ in range(5)]
    say("%s: %g s idle, keep-warm %s: %.1f ms, back to back %.1f ms" % (
        case.name, idle_s, keep_warm or "off", statistics.median(r["first_audio_ms"] for r in after),
        statistics.median(r["first_audio_ms"] for r in behind)))
    if len({r["audio"] for r in after + behind}) != 1:
        raise SystemExit("%s: the audio differs between requests" % case.name)
    row = {"voice": case.name, "idle_s": idle_s, "keep_warm_s": keep_warm, "repetitions": repetitions,
           "idle_cpu_percent": 100 * idle_cpu / idle_wall if idle_s else None}
    for time_name in ("first_audio_ms", "total_ms"):
        row[time_name] = {"after_idle": spread([r[time_name] for r in after]),
                          "back_to_back": spread([r[time_name] for r in behind])}
        row[time_name]["ratio"] = row[time_name]["after_idle"]["median"] / row[time_name]["back_to_back"]["median"]
    return row


def part_idle(program, cases, o):
    plans = []
    for case in cases:
        for idle_s in o.idle:
            repetitions = max(1, min(o.most_repetitions, int(o.idle_seconds / idle_s) if idle_s else o.most_repetitions))
            for keep_warm in (0, o.keep_warm):
                plans.append((program, case, idle_s, repetitions, keep_warm))
    rows = []
    # As many servers as fit into memory; the longest waits first.
    plans.sort(key=lambda plan: -plan[2] * plan[3])
    with concurrent.futures.ThreadPoolExecutor(o.side_by_side) as pool:
        rows = list(pool.map(lambda plan: measure_idle(*plan), plans))
    return sorted(rows, key=lambda row: (row["voice"], row["idle_s"], row["keep_warm_s"]))


def read_gb_per_s(files):
    """Plain reads of the files, one after another: what the page cache, or the disk, gives one thread."""
    buffer = bytearray(8 << 20)
    total, begin = 0, time.perf_counter()
    for file in files:
        with open(file, "rb", buffering=0) as stream:
            while True:
                count = stream.readinto(buffer)
                if not count:
                    break
                total += count
    return total / 1e9 / (time.perf_counter() - begin)


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1\n")


def measure_start(program, case, flags, repetitions, before=lambda: None):
    times = []
    for _ in range(repetitions):
        before()
        with Server(program, case.flags + flags) as server:
            times.append(server.wait_until_ready())
    return {"ready_ms": spread(times), "gb_per_s": case.weight_bytes() / 1e6 / statistics.median(times)}


def part_start(program, cases, o):
    rows = []
    for case in cases:
        files = case.weight_files()
        read_gb_per_s(files)
        read = {"weight_bytes": case.weight_bytes(), "page_cache_gb_per_s": max(read_gb_per_s(files) for _ in range(3))}
        if o.drop_caches:
            rates = []
            for _ in range(3):
                drop_caches()
                rates.append(read_gb_per_s(files))
            read["disk_gb_per_s"] = statistics.median(rates)
        folder = tempfile.mkdtemp()
        try:
            kinds = [("warm", o.warm_flags), ("no warm-up", o.cold_flags)]
            if o.cache:
                # Weights that are converted at the start, which the cache spares; the first start fills its folder.
                int8 = ["--weights", "int8"]
                kinds += [("warm, int8", int8), ("warm, int8, cached", int8 + ["--cache-dir", folder])]
                measure_start(program, case, int8 + ["--cache-dir", folder], 1)
            for name, flags in kinds:
                shown = ["CACHE" if flag == folder else flag for flag in flags]
                row = {"voice": case.name, "case": name, "flags": shown, **read}
                row["page_cache"] = measure_start(program, case, flags, o.starts)
                if o.drop_caches:
                    row["disk"] = measure_start(program, case, flags, 3, drop_caches)
                say("%s %s: ready after %.0f ms" % (case.name, name, row["page_cache"]["ready_ms"]["median"]))
                rows.append(row)
        finally:
            shutil.rmtree(folder)
    return rows


# --- tables ---

def text(value, digits=1):
    return "%.*f (%.*f to %.*f)" % (digits, value["median"], digits, value["min"], digits, value["max"])


def markdown(head, rows):
    return "\n".join(["| %s |" % " | ".join(row) for row in [head, ["---"] * len(head)] + rows])


def tables(report):
    out = ["Measured on %s, %d cores, commit %s, %s." % (report["machine"]["cpu"], report["machine"]["cores"],
                                                         report["commit"][:10], report["date"])]
    parts = report["parts"]
    if "first" in parts:
        rows = []
        for row in parts["first"]["result"]:
            for name, title in (("first_audio_ms", "first audio"), ("total_ms", "whole request")):
                r = row[name]
                rows.append([row["voice"], row["case"], title, text(r["first"]), text(r["steady"]), text(r["ratio"], 2),
                             "%.2f" % r["later_ratio_p90"]])
        out.append("First request against later ones; medians over %d processes (min to max):\n\n%s" % (
            parts["first"]["result"][0]["processes"],
            markdown(["voice", "start", "time", "first, ms", "steady median, ms", "first / steady",
                      "a later one / steady, p90"], rows)))
    if "idle" in parts:
        rows = []
        for row in parts["idle"]["result"]:
            a = row["first_audio_ms"]
            cpu = row["idle_cpu_percent"]
            rows.append([row["voice"], "%g s" % row["idle_s"], "%g s" % row["keep_warm_s"] if row["keep_warm_s"] else "off",
                         str(row["repetitions"]), text(a["after_idle"]), text(a["back_to_back"]), "%.2f" % a["ratio"],
                         "%.2f" % row["total_ms"]["ratio"], "" if cpu is None else "%.2f %%" % cpu])
        out.append("After idleness:\n\n" + markdown(
            ["voice", "idle", "keep-warm", "times", "first audio, ms", "back to back, ms", "ratio", "ratio, whole request",
             "CPU while idle"], rows))
    if "start" in parts:
        rows = []
        for row in parts["start"]["result"]:
            for where, rate in (("page_cache", "page_cache_gb_per_s"), ("disk", "disk_gb_per_s")):
                if where in row:
                    rows.append([row["voice"], row["case"], where.replace("_", " "), "%.0f" % (row["weight_bytes"] / 1e6),
                                 text(row[where]["ready_ms"], 0), "%.2f" % row[where]["gb_per_s"], "%.2f" % row[rate]])
        out.append("Start to ready:\n\n" + markdown(
            ["voice", "start", "weights in", "MB", "ready, ms", "GB/s", "plain reading, GB/s"], rows))
    return "\n\n".join(out)


# --- the program ---

def say(words):
    print(words, file=sys.stderr, flush=True)


def numbers(words):
    return [float(word) for word in words.split(",")]


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("build", nargs="?")
    a.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/warmup.json")
    a.add_argument("--from", dest="source", type=Path)
    a.add_argument("--parts", default="first,idle,start")
    a.add_argument("--random-voice")
    a.add_argument("--random-max-tokens", type=int, default=70)
    a.add_argument("--voices", default="demo,random", help="which of the two are measured")
    a.add_argument("--processes", type=int, default=10)
    a.add_argument("--later", type=int, default=30, help="requests after the first one of a process")
    a.add_argument("--warm-flags", type=str.split, default=[])
    a.add_argument("--cold-flags", type=str.split, default=["--warmup=false"])
    a.add_argument("--idle", type=numbers, default=[0, 1, 10, 60, 600])
    a.add_argument("--idle-seconds", type=float, default=600, help="of waiting for each idle time, at least once")
    a.add_argument("--most-repetitions", type=int, default=20)
    a.add_argument("--keep-warm", type=float, default=1, help="interval, seconds")
    a.add_argument("--side-by-side", type=int, default=20, help="servers that are idle at the same time")
    a.add_argument("--starts", type=int, default=10)
    a.add_argument("--cache", action="store_true", help="measure starts with int8 weights too, with and without --cache-dir")
    a.add_argument("--drop-caches", action="store_true", help="empty the page cache of the whole machine for it")
    o = a.parse_args()
    if o.source:
        print(tables(json.loads(o.source.read_text())))
        return
    if not o.build:
        a.error("name the build folder")
    program = str(Path(o.build).resolve() / "bin" / "lyre")
    if o.cache and b"--cache-dir" not in subprocess.run([program, "serve", "--help"], capture_output=True).stdout:
        a.error("--cache: this program has no --cache-dir")
    cases = [Case("demo", ROOT / "voices/demo", None)]
    if o.random_voice:
        cases.append(Case("random", o.random_voice, o.random_max_tokens))
    cases = [case for case in cases if case.name in o.voices.split(",")]
    report = json.loads(o.out.read_text()) if o.out.exists() else {"parts": {}}
    measured = {"date": datetime.date.today().isoformat(), "commit": git("rev-parse", "HEAD"),
                "dirty": bool(git("status", "--porcelain", "--untracked-files=no")), "machine": machine()}
    command = " ".join(["python3 tools/bench_warmup.py", *sys.argv[1:]]).replace(str(ROOT) + "/", "")
    for given, shown in ((o.build, "BUILD"), (o.random_voice, "RANDOM_VOICE"), (str(o.out), "OUT")):
        if given and os.path.isabs(given):
            command = command.replace(given, shown)
    for part in o.parts.split(","):
        run = {"first": part_first, "idle": part_idle, "start": part_start}[part]
        report["parts"][part] = {**measured, "command": command, "result": run(program, cases, o)}
        report.update(measured)
        o.out.write_text(json.dumps(report, indent=1) + "\n")
    print(tables(report))


if __name__ == "__main__":
    main()
