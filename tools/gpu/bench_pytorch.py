#!/usr/bin/env python3
"""PyTorch's side of bench/cuda_bench.cc: the same models, sizes and JSON, by transformers and by the snac package.

    python3 tools/gpu/bench_pytorch.py LM_FOLDER CODEC_FOLDER [--parts lm,codec] [--compile] [--out FILE]

lm:    LlamaForCausalLM in bf16 with a StaticCache: eager at batch 1, and captured in a CUDA graph at every batch, with
       the output matrix whole and cut down to the codes (lyre computes the legal ids only); prefill, eager. Greedy: the
       argmax is in the graph. Contexts are filled with random keys and values: they cost what true ones cost.
       --compile adds torch.compile (mode reduce-overhead), which takes most of a minute.
codec: SNAC decode in fp32 with its weight norm folded: the first calls of this process, eager, captured in a graph; 1
       and 4 frames, batch 1 and the largest; TF32 off, and on as rows of their own.
--device cpu tries the program; graphs are left out.
"""
import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path

import torch

FRAME_MS = 1e3 * 2048 / 24000


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Bench:
    def __init__(self, o):
        self.o, self.rows = o, []

    def row(self, name, times, **fields):
        times = sorted(times)
        at = lambda q: times[int(q * (len(times) - 1))]
        row = {"name": name, **fields}
        if times:
            row |= {"ms_p10": at(0.1), "ms_p50": at(0.5), "ms_p90": at(0.9)}
        if name == "decode":
            row["ms_per_token"] = row["ms_p50"]
            row["tokens_per_s"] = 1e3 * fields["batch"] / row["ms_p50"]
            row["real_time_factor"] = 7 * row["ms_p50"] / FRAME_MS
        if name == "codec":
            row["real_time_factor"] = row["ms_p50"] / FRAME_MS / fields["frames"]
        self.rows.append(row)
        what = ", ".join([name] + [f"{key} {value}" for key, value in fields.items()])
        print(f"{what:64} {row.get('ms_p50', 0):10.4f} ms", file=sys.stderr, flush=True)

    def time(self, run, least, most_s, prepare=None):
        """Wall milliseconds of each run, the device's work included; `prepare` before each is not in them."""
        times, begin = [], time.perf_counter()
        while len(times) < least or (time.perf_counter() - begin < most_s and len(times) < 20 * least):
            if prepare:
                prepare()
                synchronize(self.o.device)
            before = time.perf_counter()
            run()
            synchronize(self.o.device)
            times.append(1e3 * (time.perf_counter() - before))
            if len(times) >= 5 and time.perf_counter() - begin > 3 * most_s:
                break
        return times

    def captured(self, run, prepare=lambda: None):
        """-> a call that replays `run`; its shapes and addresses must not change."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                prepare()
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay

    # --- the language model ---

    def language_model(self):
        from transformers import AutoModelForCausalLM
        o, begin = self.o, time.perf_counter()
        dtype = torch.bfloat16
        self.model = AutoModelForCausalLM.from_pretrained(o.model, dtype=dtype, attn_implementation="sdpa").to(o.device).eval()
        synchronize(o.device)
        self.row("start", [], what="lm", lm_open_ms=round(1e3 * (time.perf_counter() - begin), 1))
        self.vocabulary = self.model.config.vocab_size
        self.forward = self.model.forward
        first = []
        for tokens in o.prompts:
            ids = torch.randint(self.vocabulary, (1, tokens), device=o.device)
            run = lambda: self.model(ids, use_cache=True, logits_to_keep=1).logits.argmax(-1)
            if not first:
                before = time.perf_counter()
                run()
                synchronize(o.device)
                first.append(1e3 * (time.perf_counter() - before))
                self.row("first", first, what=f"prompt of {tokens}", how="eager")
            run()
            self.row("prefill", self.time(run, 8, 1.0), tokens=tokens, how="eager")
        whole = self.model.lm_head.weight
        codes = torch.nn.Parameter(whole[-7 * o.codebook:].detach().clone(), requires_grad=False)
        self.row("decode", self.decode(1, capture=False), batch=1, tokens=1, how="eager")
        if o.device != "cuda":
            return
        for head, weight in (("whole output", whole), ("code rows", codes)):
            self.model.lm_head.weight = weight
            for batch in o.batches:
                try:
                    self.row("decode", self.decode(batch, capture=True), batch=batch, tokens=1, how=f"graph, {head}")
                except torch.OutOfMemoryError:
                    print(f"batch {batch}: out of memory", file=sys.stderr)
                torch.cuda.empty_cache()
        self.model.lm_head.weight = whole
        if o.compile:
            before = time.perf_counter()
            self.forward = torch.compile(self.model.forward, mode="reduce-overhead", fullgraph=True)
            times = self.decode(1, capture=False)
            self.row("decode", times, batch=1, tokens=1, how="compiled",
                     compile_s=round(time.perf_counter() - before, 1))

    @torch.inference_mode()
    def decode(self, batch, capture):
        from transformers import StaticCache
        o, config = self.o, self.model.config
        cache = StaticCache(config=config, max_cache_len=o.context + 8)
        ids = torch.randint(self.vocabulary, (batch, 1), device=o.device)
        positions = torch.full((batch, 1), o.context, dtype=torch.long, device=o.device)
        # Attention over the filled part only, and no mask to be built in the graph: True where a token is seen.
        mask = torch.zeros((batch, 1, 1, o.context + 8), dtype=torch.bool, device=o.device)
        mask[..., :o.context + 1] = True

        def run(forward=self.forward):
            logits = forward(input_ids=ids, past_key_values=cache, use_cache=True, attention_mask=mask, position_ids=positions,
                             logits_to_keep=1).logits
            ids.copy_(logits.argmax(-1).view(batch, 1))

        # The cache counts its tokens by itself: set back before each step, so that all write the same place.
        prepare = lambda: self.rewind(cache, o.context)
        run(self.model.forward)  # makes the cache
        for layer in cache.layers:
            layer.keys.normal_()
            layer.values.normal_()
        for _ in range(2):
            prepare()
            run()
        synchronize(o.device)
        call = self.captured(run, prepare) if capture else run
        prepare()
        call()
        synchronize(o.device)
        return self.time(call, 60 if capture else 10, 1.5, prepare)

    @staticmethod
    def rewind(cache, tokens):
        for layer in cache.layers:
            length = getattr(layer, "cumulative_length", None)
            if torch.is_tensor(length):
                length.fill_(tokens)
            elif length is not None:
                layer.cumulative_length = tokens

    # --- the codec ---

    def codec(self):
        try:
            from snac import SNAC
        except ImportError as error:
            print(f"the snac package is not there: {error}", file=sys.stderr)
            return
        from torch.nn.utils import parametrize
        o, begin = self.o, time.perf_counter()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        codec = SNAC.from_pretrained(o.codec)
        for module in codec.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        codec = codec.float().eval().to(o.device)
        synchronize(o.device)
        self.row("start", [], what="codec", codec_open_ms=round(1e3 * (time.perf_counter() - begin), 1))
        codes = lambda batch, frames: [torch.randint(codec.codebook_size, (batch, frames * k), device=o.device) for k in (1, 2, 4)]
        with torch.inference_mode():
            for call in ("first call", "second call"):
                random = codes(1, 4)
                before = time.perf_counter()
                codec.decode(random)
                synchronize(o.device)
                self.row("codec_first", [1e3 * (time.perf_counter() - before)], batch=1, frames=4, how=call)
            for tf32 in (False, True):
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
                kind = ", tf32" if tf32 else ""
                for batch in sorted({1, max(o.batches)}):
                    for frames in (1, 4):
                        if o.device != "cuda" and batch * frames > 4:
                            continue
                        random = codes(batch, frames)
                        run = lambda: codec.decode(random)
                        for _ in range(3):
                            run()
                        synchronize(o.device)
                        self.row("codec", self.time(run, 20, 0.7), batch=batch, frames=frames, how="eager" + kind)
                        if o.device == "cuda":
                            self.row("codec", self.time(self.captured(run), 50, 0.7), batch=batch, frames=frames,
                                     how="graph" + kind)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("model")
    a.add_argument("codec")
    a.add_argument("--parts", default="codec,lm", help="in this order: the first call of a fresh process is measured once")
    a.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 32, 64, 128, 216])
    a.add_argument("--prompts", type=lambda text: [int(n) for n in text.split(",")], default=[48, 200, 600])
    a.add_argument("--context", type=int, default=600)
    a.add_argument("--codebook", type=int, default=4096)
    a.add_argument("--compile", action="store_true")
    a.add_argument("--device", default="cuda")
    a.add_argument("--out", type=Path)
    o = a.parse_args()
    torch.manual_seed(0)
    bench = Bench(o)
    parts = {"lm": torch.inference_mode()(bench.language_model), "codec": bench.codec}
    for part in o.parts.split(","):
        try:
            parts[part]()
        except Exception as error:  # the other part is still worth its time
            print(f"{part}: {type(error).__name__}: {error}", file=sys.stderr)
            if not bench.rows:
                raise
    versions = {}
    for package in ("torch", "transformers", "snac"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    report = {"bench": "pytorch", "gpu": torch.cuda.get_device_name() if o.device == "cuda" else "none",
              "context": o.context, "versions": versions, "results": bench.rows}
    text = json.dumps(report, indent=1)
    if o.out:
        o.out.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
