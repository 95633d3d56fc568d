"""SNAC of the true shape, whole decode of 40 frames: PyTorch and lyre in turns on the same cores, in one run.

    taskset -c 0,1 python3 tools/compare_snac.py CODEC_DIR CODEC_BENCH --json OUT [--rounds 5]

CODEC_DIR: the codec of tools/make_random_voice.py. CODEC_BENCH: the built bench/codec_bench. PyTorch needs torch and snac
(tools/requirements-golden.txt). Medians of each round are kept; the ratio is of the medians over the rounds.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FRAMES, AUDIO_S = 40, 40 * 2048 / 24000
OURS = {"lyre, whole": "whole_decode/full:1/threads:2", "lyre, streaming by single frames":
        "stream/full:1/threads:2/streams:1/frames:1/preview:0"}


def torch_round(codec):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "torch.json")
        subprocess.run([sys.executable, HERE / "bench_pytorch_snac.py", codec, "--threads", "2", "--frames", str(FRAMES), "--seconds", "8",
                        "--json", out], check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text())


def lyre_round(program):
    pattern = "|".join(f"^{name}/" for name in OURS.values())
    done = subprocess.run([program, f"--benchmark_filter={pattern}", "--benchmark_format=json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("codec")
    a.add_argument("program")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--commit", default="")
    a.add_argument("--json", type=Path, required=True)
    o = a.parse_args()
    torch, ours = [], {name: [] for name in OURS}
    for _ in range(o.rounds):
        report = torch_round(o.codec)
        torch.append(report["results"][0]["median_s"] / AUDIO_S)
        lyre = lyre_round(o.program)
        for name, bench in OURS.items():
            ours[name] += [b["rtf"] for b in lyre["benchmarks"] if b["name"].startswith(bench + "/")]
    rows = {"PyTorch, whole": torch, **ours}
    result = {"what": __doc__.splitlines()[0], "commit": o.commit, "machine": report["machine"], "versions": report["versions"],
              "command": "taskset -c 0,1 python3 tools/compare_snac.py CODEC_DIR CODEC_BENCH",
              "real_time_factor": {name: {"rounds": values, "median": statistics.median(values)} for name, values in rows.items()},
              "times_faster": {name: statistics.median(torch) / statistics.median(values) for name, values in ours.items()},
              "lyre": lyre}
    result["lyre"]["context"].pop("host_name", None)
    result["lyre"]["context"].pop("executable", None)
    o.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("real_time_factor", "times_faster")}, indent=1))


if __name__ == "__main__":
    main()
