#!/usr/bin/env python3
"""Word error of the demo voice in each number format of the GPU.

    python3 tools/gpu/word_error.py speak LYRE FOLDER            on the machine with the GPU: tests/e2e/sentences.txt, greedy and three seeds
    python3 tools/gpu/word_error.py judge FOLDER [--json OUT]    where pocketsphinx is: the recogniser of tests/e2e/understood.py listens

The voices of sentences and the sampling are those of tests/e2e/understood.py.
"""
import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
E2E = ROOT / "tests/e2e"
FORMATS = {"bf16": [], "fp8-weights": ["--weights", "fp8"], "fp8-kv": ["--kv", "fp8"]}
RUNS = {"greedy": ["--temperature", "0", "--seed", "1"], **{f"seed-{seed}": ["--temperature", "0.6", "--seed", str(seed)] for seed in (1, 2, 3)}}


def sentences():
    return (E2E / "sentences.txt").read_text(encoding="utf-8").splitlines()


def speak(o):
    def one(job):
        folder, number, sentence, flags = job
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([o.lyre, "say", sentence, "-o", folder / f"{number:02}.wav", "--voice", "ada" if number % 2 else "max", "--top-p",
                        "0.9", "--repetition-penalty", "1.1", "--voice-dir", ROOT / "voices/demo", "--backend", o.backend, *flags], check=True, stdout=subprocess.DEVNULL)

    jobs = [(o.folder / name / run, n, sentence, form + flags) for name, form in FORMATS.items() for run, flags in RUNS.items()
            for n, sentence in enumerate(sentences(), 1)]
    with ThreadPoolExecutor(o.at_once) as pool:
        list(pool.map(one, jobs))


def judge(o):
    sys.path.insert(0, str(E2E))
    import word_error
    table = {}
    for name in FORMATS:
        rates = {run: word_error.assess(sentences(), o.folder / name / run, 2)["word_error_rate"] for run in RUNS}
        sampled = [rate for run, rate in rates.items() if run != "greedy"]
        table[name] = {"greedy": rates["greedy"], "sampled_mean": sum(sampled) / len(sampled), "sampled": sampled}
        print("%-12s greedy %.1f %%, sampled %.1f %% (%s)" % (name, 100 * rates["greedy"], 100 * table[name]["sampled_mean"],
                                                          ", ".join("%.1f" % (100 * rate) for rate in sampled)), flush=True)
    if o.json:
        o.json.write_text(json.dumps(table, indent=1) + "\n")


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = a.add_subparsers(required=True)
    s = commands.add_parser("speak")
    s.add_argument("lyre")
    s.add_argument("folder", type=Path)
    s.add_argument("--at-once", type=int, default=16)
    s.add_argument("--backend", default="cuda")
    s.set_defaults(run=speak)
    j = commands.add_parser("judge")
    j.add_argument("folder", type=Path)
    j.add_argument("--json", type=Path)
    j.set_defaults(run=judge)
    o = a.parse_args()
    o.run(o)


if __name__ == "__main__":
    main()
