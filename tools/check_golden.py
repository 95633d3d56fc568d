"""Compares a dumped golden with the numpy oracle (speak.py): two independent implementations have to agree.

    python3 check_golden.py VOICE_DIR GOLDEN_DIR            exit 1 on a difference; needs requirements.txt

Checks prompt and tokenizer ids, hidden states, logits, all greedy runs, sampler probabilities, z_q, and PCM with and
without noise. The encoder has no second implementation here.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import speak

RUNS = {"greedy": (1.0, False), "greedy_rep1.3": (1.3, False), "greedy_legal_rep1.1": (1.1, True)}


class Report:
    def __init__(self):
        self.failed = 0

    def equal(self, name, ours, golden):
        self._line(name, np.array_equal(ours, golden), "equal" if np.array_equal(ours, golden) else "DIFFERENT")

    def close(self, name, ours, golden, relative):
        """largest difference over the largest golden value"""
        error = np.abs(ours - golden).max() / np.abs(golden).max() if ours.shape == golden.shape else np.inf
        self._line(name, error <= relative, f"{error:.1e} of the largest value")

    def _line(self, name, passed, text):
        self.failed += not passed
        print("ok  " if passed else "FAIL", name, text, flush=True)


def penalised(logits, seen, penalty):
    return np.where(seen, np.where(logits > 0, logits / np.float32(penalty), logits * np.float32(penalty)), logits)


def legal_mask(special, codebook, step, rows):
    mask = np.zeros(rows, bool)
    start = special["first_code"] + codebook * (step % 7)
    mask[start:start + codebook] = True
    mask[special["stop"]] = step % 7 == 0
    return mask


def sampler_probabilities(logits, seen, legal, p):
    z = penalised(logits, seen, p["repetition_penalty"]).astype(np.float64)
    z[~legal] = -np.inf
    if p["temperature"] == 0:
        return (np.arange(len(z)) == z.argmax()).astype(np.float64)
    q = np.exp((z - z.max()) / p["temperature"])
    if p["top_k"]:
        q[q < np.sort(q)[-p["top_k"]]] = 0
    q /= q.sum()
    order = np.argsort(-q, kind="stable")
    if p["top_p"] < 1:
        q[order[np.cumsum(q[order]) - q[order] >= p["top_p"]]] = 0
        q /= q.sum()
    q[q < p["min_p"] * q.max()] = 0
    return q / q.sum()


def check_language_model(voice, g, about, report):
    lm, special, codebook = voice.lm, about["special_ids"], voice.codec.c["codebook_size"]
    for i, (name, text) in enumerate(about["prompts"]):
        prompt = voice.tokenizer.prompt(name, text)
        report.equal(f"lm.{i}.prompt_ids", prompt, g[f"lm.{i}.prompt_ids"])
        for run, (penalty, only_legal) in RUNS.items():
            golden, ids, hidden, logits_at = g[f"lm.{i}.{run}"], [], [], []
            seen = np.zeros(lm.c["vocab_size"], bool)
            seen[prompt] = True
            lm.pos = 0
            logits = lm.step(prompt, hidden)
            while len(ids) < len(golden):
                logits_at.append(logits)
                z = penalised(logits, seen, penalty)
                if only_legal:
                    z = np.where(legal_mask(special, codebook, len(ids), len(z)), z, -np.inf)
                ids.append(int(z.argmax()))
                seen[ids[-1]] = True
                if len(ids) < len(golden):
                    logits = lm.step(ids[-1:])
            report.equal(f"lm.{i}.{run} ({len(golden)} ids, smallest margin {g[f'lm.{i}.{run}_margin'].min():.1e})", ids, golden)
            if run == "greedy":
                report.close(f"lm.{i}.prefill_logits_last", logits_at[0], g[f"lm.{i}.prefill_logits_last"], 1e-4)
                report.close(f"lm.{i}.step3_logits", logits_at[3], g[f"lm.{i}.step3_logits"], 1e-4)
                report.close(f"lm.{i}.greedy_last_logits", logits_at[-1], g[f"lm.{i}.greedy_last_logits"], 1e-4)
                for k, h in enumerate(hidden):
                    if f"lm.{i}.hidden.{k}" in g:
                        report.close(f"lm.{i}.hidden.{k}", h, g[f"lm.{i}.hidden.{k}"], 1e-4)
        history = g[f"sampler.{i}.history"]
        seen = np.zeros(lm.c["vocab_size"], bool)
        seen[history] = True
        step = len(history) - len(prompt)
        for key, p in about["samplers"].items():
            key = key.format(i=i)
            legal = legal_mask(special, codebook, step, len(seen)) if p["legal_slots"] else np.ones(len(seen), bool)
            report.close(key, sampler_probabilities(g[f"sampler.{i}.logits"], seen, legal, p), g[key], 1e-5)


def check_codec(codec, g, report):
    def silent(block, samples):
        return np.zeros(samples, np.float32)

    for i in range(3):
        report.close(f"codec.{i}.pcm_no_noise", codec.decode(g[f"codec.{i}.frames"], silent), g[f"codec.{i}.pcm_no_noise"], 1e-4)
    for label in ("stage", "ragged"):
        frames = g[f"codec.{label}.frames"]
        last = next(k for k in g if k.startswith(f"codec.{label}.") and k.endswith(".Tanh"))
        report.close(f"codec.{label}.z_q", codec.from_codes(frames), g[f"codec.{label}.z_q"], 1e-5)
        report.close(last, codec.decode(frames, lambda block, _: g[f"codec.{label}.noise.{block}"]), g[last][0], 1e-4)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("voice")
    a.add_argument("golden", type=Path)
    o = a.parse_args()
    g, voice, report = load_file(o.golden / "golden.safetensors"), speak.Voice(o.voice), Report()
    about = json.loads((o.golden / "golden.json").read_text(encoding="utf-8"))
    cases = json.loads((o.golden / "tokenizer_cases.json").read_text(encoding="utf-8"))
    library = Tokenizer.from_file(f"{o.voice}/lm/tokenizer.json")
    wrong = sum(library.encode(c["text"], add_special_tokens=False).ids != c["ids"] for c in cases)
    report.equal(f"{len(cases)} tokenizer cases", wrong, 0)
    check_language_model(voice, g, about, report)
    check_codec(voice.codec, g, report)
    if report.failed:
        raise SystemExit(f"{report.failed} differences")


if __name__ == "__main__":
    main()
