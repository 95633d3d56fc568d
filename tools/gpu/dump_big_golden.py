#!/usr/bin/env python3
"""Writes what PyTorch computes for a large language model on a GPU, in fp32 and in bf16: the judge of tests/gpu/big_model_test.cc.

    python3 tools/gpu/dump_big_golden.py LM_FOLDER OUT.safetensors [--steps 20] [--device cuda]

For three prompts of random ids (17, 48 and 200) fp32 draws greedily among the legal slots; its tokens are then forced on
both precisions, so that every step has the same context. TF32 is off. Needs torch, transformers, safetensors.

Tensors, with i = 0..2 the prompt, T prompt ids, N = steps + 1, R rows kept, L = 40 greedy tokens:
  layout (2) int64              first code id, codebook size
  rows (R) int64                ids whose logits are kept: all codes, and a sample of the others, ascending
  lm.i.prompt_ids (T) int64     lm.i.forced (L) int64    greedy tokens of fp32 among the legal slots, no penalty, no stop
  lm.i.margin (L)               top-1 minus top-2 of the legal logits
  lm.i.logits (N, R)            fp32, after the prompt and after each of the first N - 1 forced tokens
  lm.i.bf16_error (N)           ||bf16 - fp32|| / ||fp32|| over the rows, PyTorch's own
  lm.i.bf16_kl (N)              KL(fp32 || bf16) of the softmax over the legal slot, nats
  lm.i.bf16_agrees (N)          1 where bf16 has the same best legal token
"""
import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

LENGTHS = (17, 48, 200)
GREEDY = 40
OTHER_ROWS = 1024


def code_layout(folder, given):
    """First code id and size of a codebook: from the tokenizer's <custom_token_10> and the number of custom tokens."""
    if given:
        return tuple(int(word) for word in given.split(","))
    added = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    custom = [int(name[14:-1]) for name in ids if name.startswith("<custom_token_")]
    return ids["<custom_token_10>"], (max(custom) - 9) // 7


def legal_range(first, codebook, step):
    start = first + step % 7 * codebook
    return start, start + codebook


@torch.inference_mode()
def draw_greedily(model, ids, first, codebook, device):
    drawn, margins, past = [], [], None
    step_ids = torch.tensor([ids], device=device)
    for step in range(GREEDY):
        out = model(step_ids, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = out.past_key_values
        begin, end = legal_range(first, codebook, step)
        top = out.logits[0, -1, begin:end].float().topk(2)
        drawn.append(begin + int(top.indices[0]))
        margins.append(float(top.values[0] - top.values[1]))
        step_ids = torch.tensor([drawn[-1:]], device=device)
    return drawn, margins


@torch.inference_mode()
def forced_logits(model, ids, forced, rows, steps, device):
    """(N, R) fp32: one pass over prompt and forced tokens."""
    all_ids = torch.tensor([ids + forced[:steps]], device=device)
    return model(all_ids, use_cache=False, logits_to_keep=steps + 1).logits[0, :, rows].float()


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("model")
    a.add_argument("out", type=Path)
    a.add_argument("--steps", type=int, default=20)
    a.add_argument("--layout", help="FIRST_CODE,CODEBOOK instead of what the tokenizer says")
    a.add_argument("--device", default="cuda")
    o = a.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    begin = time.perf_counter()
    load = lambda dtype: AutoModelForCausalLM.from_pretrained(o.model, dtype=dtype, attn_implementation="sdpa").to(o.device).eval()
    low = load(torch.bfloat16)
    vocabulary = low.config.vocab_size
    first, codebook = code_layout(o.model, o.layout)
    generator = torch.Generator().manual_seed(1)
    others = torch.randperm(vocabulary, generator=generator)[:OTHER_ROWS]
    rows = torch.unique(torch.cat([others, torch.arange(first, first + 7 * codebook)]))  # ascending
    kept = rows.to(o.device)
    prompts = [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in LENGTHS]
    high = load(torch.float32)
    golden = {"layout": torch.tensor([first, codebook]), "rows": rows}
    for i, ids in enumerate(prompts):
        forced, margins = draw_greedily(high, ids, first, codebook, o.device)
        wanted = forced_logits(high, ids, forced, kept, o.steps, o.device)
        found = forced_logits(low, ids, forced, kept, o.steps, o.device)
        error = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
        kl, agrees = [], []
        for step in range(o.steps + 1):
            start, end = legal_range(first, codebook, step)
            at = torch.arange(start, end, device=o.device)
            columns = torch.searchsorted(kept, at)
            p, q = wanted[step, columns].double().log_softmax(0), found[step, columns].double().log_softmax(0)
            kl.append(float((p.exp() * (p - q)).sum()))
            agrees.append(float(p.argmax() == q.argmax()))
        prefix = f"lm.{i}."
        golden |= {prefix + "prompt_ids": torch.tensor(ids), prefix + "forced": torch.tensor(forced),
                   prefix + "margin": torch.tensor(margins), prefix + "logits": wanted.cpu().contiguous(),
                   prefix + "bf16_error": error.cpu(), prefix + "bf16_kl": torch.tensor(kl),
                   prefix + "bf16_agrees": torch.tensor(agrees)}
        print(f"prompt of {len(ids)}: PyTorch's bf16 against fp32: relative error {error.mean():.5f} (worst {error.max():.5f}), "
              f"KL {sum(kl) / len(kl):.2e} (worst {max(kl):.2e}), best token agrees {sum(agrees):.0f} of {len(agrees)}, "
              f"smallest margin {min(margins):.4f}", flush=True)
    save_file(golden, str(o.out))
    print(f"{o.out.name}: {o.out.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
