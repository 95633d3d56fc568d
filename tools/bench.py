#!/usr/bin/env python3
"""Runs every benchmark of a build and keeps what they print, with machine, commit and commands, in one JSON file.

    python3 tools/bench.py BUILD_FOLDER [--out docs/benchmarks/cpu.json] [--random-voice FOLDER] [--readme README.md]
    python3 tools/bench.py --readme README.md --from docs/benchmarks/cpu.json

--random-voice: a folder of tools/make_random_voice.py (the true 3B and SNAC shapes); its language model is measured too,
in bf16 and int8. --readme writes the table between the two marks of that file, from the JSON, so no figure is typed by hand.
"""
import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

from this_machine import git, machine

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- benchmarks: written by tools/bench.py -->", "<!-- end of benchmarks -->"


def run(command):
    print("+", " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def shown(command, binaries):
    """The command as a reader would type it: no folder of this machine."""
    return " ".join(command).replace(str(binaries) + "/", "").replace(str(ROOT) + "/", "")


def measure(build, random_voice):
    binaries = Path(build).resolve() / "bin"
    tool = lambda name: str(binaries / name)
    plans = {
        "demo, exact": [tool("lyre"), "bench", "-n", "40", "--seed", "1", "--json", "--voice-dir", "voices/demo"],
        "demo, fast start": [tool("lyre"), "bench", "-n", "40", "--seed", "1", "--json", "--fast-start", "--voice-dir",
                             "voices/demo"],
        "demo, int8": [tool("lyre"), "bench", "-n", "40", "--seed", "1", "--json", "--weights", "int8", "--voice-dir",
                       "voices/demo"],
        "lm demo": [tool("lm_bench"), "--model", "voices/demo/lm", "--first-code", "525", "--codebook", "1024"],
        "codec": [tool("codec_bench"), "--benchmark_format=json"],
    }
    if random_voice:
        model = str(Path(random_voice).resolve() / "lm")
        plans["lm 3B bf16"] = [tool("lm_bench"), "--model", model, "--batches", "1,4", "--prompts", "32", "--steps", "16",
                                "--first-code", "128266", "--codebook", "4096"]
        plans["lm 3B int8"] = plans["lm 3B bf16"] + ["--weights", "int8"]
    runs = {}
    for name, command in plans.items():
        text = shown(command, binaries)
        if random_voice:
            text = text.replace(str(Path(random_voice).resolve()), "RANDOM_VOICE")
        result = run(command)
        for key in ("command", "model"):  # they repeat paths of this machine
            if isinstance(result.get(key), str):
                del result[key]
        result.get("context", {}).pop("executable", None)
        result.get("context", {}).pop("host_name", None)
        runs[name] = {"command": text, "result": result}
    return runs


def table(report):
    """The README's rows; a benchmark that was not run has no row."""
    rows, runs = [], report["runs"]
    for name in ("demo, exact", "demo, fast start"):
        if name in runs:
            r = runs[name]["result"]["requests"]
            audio = r["first_audio_ms"]
            rows.append((f"{name}: first audio, p50 / p90 / p99", f"{audio['p50']:.1f} / {audio['p90']:.1f} / {audio['p99']:.1f} ms"))
            rows.append((f"{name}: real-time factor, p50", f"{r['real_time_factor']['p50']:.3f}"))
    if "demo, exact" in runs:
        rows.append(("demo: peak memory", f"{runs['demo, exact']['result']['peak_bytes'] / 1e6:.0f} MB"))
    if "codec" in runs:
        names = {"stream/full:1/threads:2/streams:1/frames:1/preview:0": "full-size SNAC, one stream, frame by frame",
                 "stream/full:0/threads:2/streams:1/frames:1/preview:0": "demo codec, one stream, frame by frame"}
        for b in runs["codec"]["result"]["benchmarks"]:
            name = names.get(b["name"].split("/min_time")[0])
            if name:
                rows.append((f"{name}: real-time factor", f"{b['rtf']:.3f}"))
    for name in ("lm 3B bf16", "lm 3B int8"):
        if name in runs:
            for r in runs[name]["result"]["results"]:
                if r["name"] == "decode" and r["batch"] == 1:
                    rows.append((f"{name}: decode, one stream",
                                 f"{r['tokens_per_s']:.2f} tokens/s, {r['percent_of_read_bandwidth']:.0f} % of the memory bandwidth"))
    head = f"Measured on {report['machine']['cpu']}, {report['machine']['cores']} cores, commit {report['commit'][:10]}, {report['date']}:"
    return "\n".join([head, "", "| what | measured |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)])


def write_readme(path, report):
    text = Path(path).read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    Path(path).write_text(f"{before}{BEGIN}\n{table(report)}\n{END}{after}", encoding="utf-8")


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("build", nargs="?")
    a.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/cpu.json")
    a.add_argument("--random-voice")
    a.add_argument("--readme")
    a.add_argument("--from", dest="source", type=Path)
    o = a.parse_args()
    if o.source:
        report = json.loads(o.source.read_text())
    else:
        if not o.build:
            a.error("name the build folder")
        report = {"date": datetime.date.today().isoformat(), "commit": git("rev-parse", "HEAD"),
                  "dirty": bool(git("status", "--porcelain", "--untracked-files=no")), "machine": machine(),
                  "runs": measure(o.build, o.random_voice)}
        o.out.write_text(json.dumps(report, indent=1) + "\n")
    if o.readme:
        write_readme(o.readme, report)
    print(table(report))


if __name__ == "__main__":
    main()
