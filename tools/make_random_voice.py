"""Writes a voice with random weights of the true public shapes: Orpheus 3B and SNAC 24 kHz, for benchmarks.

    python3 make_random_voice.py OUT_DIR [--parts lm,codec] [--layers 28 --hidden 3072 ...]           needs numpy

A 6.6 GB language model takes as long as the disk needs: tensors are windows of one random block, repeated, scaled, and
streamed, shards side by side; memory stays below 100 MB. Arithmetic and bytes are those of the real models, the speech is
noise.
"""
import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import voice_formats as formats

# A prime number of values, so that no row length divides it and rows of a repeated block differ.
BLOCK_ITEMS = 1_048_583
VOICES = ["tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"]


class RandomBlock:
    """N(0, 1) values, repeated without end; `chunks` scales them and starts each tensor somewhere else."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.values = self.rng.standard_normal(BLOCK_ITEMS, dtype=np.float32)
        self.scaled = {}

    def chunks(self, items, dtype, sigma):
        if (dtype, sigma) not in self.scaled:
            self.scaled[dtype, sigma] = formats.to_bytes(self.values * np.float32(sigma), dtype)
        return self.windows(self.scaled[dtype, sigma], formats.ITEM_BYTES[dtype], int(self.rng.integers(BLOCK_ITEMS)), items)

    @staticmethod
    def windows(block, size, start, left):
        block = memoryview(block)
        while left:
            n = min(left, BLOCK_ITEMS - start)
            yield block[start * size:(start + n) * size]
            start, left = 0, left - n


def random_merges(count, seed):
    """`count` merges of lower-case letters with or without a leading space, each making a new piece."""
    rng = np.random.default_rng(seed)
    pieces = list("abcdefghijklmnopqrstuvwxyz") + ["Ġ"]
    known, merges = set(pieces), []
    while len(merges) < count:
        for a, b in (rng.random((4096, 2)) ** 2 * len(pieces)).astype(int):  # early pieces more often, as in real merges
            left, right = pieces[a], pieces[b]
            if right[0] != "Ġ" and len(left) + len(right) <= 14 and left + right not in known and len(merges) < count:
                merges.append([left, right])
                known.add(left + right)
                pieces.append(left + right)
    return merges


def special_tokens(text_rows, codebook):
    """Llama 3's 256 special ids, then Orpheus' custom tokens; 156,940 rows for 128,000 text rows and 4,096 codes."""
    llama = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 4: "<|finetune_right_pad_id|>", 6: "<|start_header_id|>",
             7: "<|end_header_id|>", 8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>"}
    names = [llama.get(k, f"<|reserved_special_token_{k}|>") for k in range(256)]
    names += [f"<custom_token_{k}>" for k in range(10 + 7 * codebook + 1)] + ["<|audio|>"]
    return {name: text_rows + k for k, name in enumerate(names)}


def write_lm(folder, o):
    folder.mkdir(parents=True, exist_ok=True)
    special = special_tokens(o.text_rows, o.codebook)
    vocabulary = o.text_rows + len(special)
    config = {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
              "bos_token_id": special["<|begin_of_text|>"], "eos_token_id": special["<|eot_id|>"], "head_dim": o.head_dim,
              "hidden_act": "silu", "hidden_size": o.hidden, "initializer_range": 0.02, "intermediate_size": o.ffn,
              "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama", "num_attention_heads": o.heads,
              "num_hidden_layers": o.layers, "num_key_value_heads": o.kv_heads, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
              "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                               "original_max_position_embeddings": 8192, "rope_type": "llama3"},
              "rope_theta": 500000.0, "tie_word_embeddings": not o.untied,
              "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[o.dtype], "use_cache": True,
              "vocab_size": vocabulary}
    formats.write_json(folder / "config.json", config)
    formats.write_json(folder / "generation_config.json", {
        "bos_token_id": special["<|begin_of_text|>"], "eos_token_id": [special["<|eot_id|>"], special["<custom_token_2>"]],
        "do_sample": True, "temperature": 0.6, "top_p": 0.9})
    formats.write_json(folder / "voice.json", {"family": "orpheus", "voices": VOICES, "default_voice": VOICES[0]})
    formats.write_tokenizer(folder / "tokenizer.json", random_merges(o.text_rows - 256, o.seed), special)

    shapes, limit = formats.lm_shapes(config), o.shard_mb * 1_000_000
    shards, used = [[]], 0
    for name, shape in shapes.items():
        size = math.prod(shape) * formats.ITEM_BYTES[o.dtype]
        if used and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    block, where = RandomBlock(o.seed), {}

    def tensor(name):
        shape = shapes[name]
        if len(shape) == 1:
            return name, o.dtype, shape, [formats.to_bytes(np.ones(shape, np.float32), o.dtype)]
        sigma = 0.02 if "embed" in name else 1 / math.sqrt(shape[1])
        return name, o.dtype, shape, block.chunks(math.prod(shape), o.dtype, sigma)

    jobs = []
    for k, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{k:05}-of-{len(shards):05}.safetensors"
        jobs.append((folder / file, list(map(tensor, names))))
        where |= {name: file for name in names}
    with ThreadPoolExecutor(o.threads) as threads:
        for done in [threads.submit(formats.write_safetensors, *job) for job in jobs]:
            done.result()
    total = sum(map(math.prod, shapes.values()))
    if len(shards) > 1:
        formats.write_json(folder / "model.safetensors.index.json",
                           {"metadata": {"total_size": total * formats.ITEM_BYTES[o.dtype]}, "weight_map": where})
    print(f"{folder}: {total / 1e6:.1f} M parameters, {vocabulary} vocabulary rows, {len(shards)} shards")


def write_codec(folder, o):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"sampling_rate": 24000, "encoder_dim": o.encoder_dim, "encoder_rates": [2, 4, 8, 8], "latent_dim": None,
              "decoder_dim": o.decoder_dim, "decoder_rates": [8, 8, 4, 2], "attn_window_size": None,
              "codebook_size": o.codebook, "codebook_dim": 8, "vq_strides": [4, 2, 1], "noise": True, "depthwise": True}
    formats.write_json(folder / "config.json", config)
    rng, block, tensors = np.random.default_rng(o.seed), RandomBlock(o.seed), []

    def add(name, shape, value):
        chunks = block.chunks(math.prod(shape), o.codec_dtype, 1.0) if value is None else [formats.to_bytes(value, o.codec_dtype)]
        tensors.append((name, o.codec_dtype, shape, chunks))

    for kind, module, shape in formats.codec_layers(config):
        if kind == "snake":
            add(module + ".alpha", shape, rng.uniform(0.5, 2.0, shape))
        elif kind == "codebook":
            add(module + ".weight", shape, None)
        else:
            transposed = formats.is_transposed(config, module)
            if kind == "conv":
                add(module + ".bias", (shape[1] if transposed else shape[0],), 0.01 * rng.standard_normal(shape[1] if transposed else shape[0]))
            # Row norms that keep activations of order one from block to block and tanh out of saturation.
            gain = 0.6 * math.sqrt(shape[1] / shape[0] * shape[2] / 2) if transposed else 0.25 if shape[0] == 1 else 1.0
            gain *= 0.5 if module.endswith(".block.3") or kind == "bare" else 1.0
            add(module + ".parametrizations.weight.original0", (shape[0], 1, 1), np.full((shape[0], 1, 1), gain))
            add(module + ".parametrizations.weight.original1", shape, None)
    formats.write_torch_checkpoint(folder / "pytorch_model.bin", tensors)
    print(f"{folder}: {sum(math.prod(t[2]) for t in tensors) / 1e6:.1f} M values")


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    a.add_argument("out", type=Path)
    a.add_argument("--parts", default="lm,codec", help="what to write")
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--threads", type=int, default=8, help="shards of the language model that are written at the same time")
    a.add_argument("--codebook", type=int, default=4096, help="codes of a slot, shared by both parts")
    lm = a.add_argument_group("language model (Orpheus 3B)")
    lm.add_argument("--layers", type=int, default=28)
    lm.add_argument("--hidden", type=int, default=3072)
    lm.add_argument("--heads", type=int, default=24)
    lm.add_argument("--kv-heads", type=int, default=8)
    lm.add_argument("--head-dim", type=int, default=128)
    lm.add_argument("--ffn", type=int, default=8192)
    lm.add_argument("--text-rows", type=int, default=128000, help="vocabulary rows below the special tokens")
    lm.add_argument("--untied", action="store_true", help="an lm_head of its own")
    lm.add_argument("--dtype", choices=formats.ITEM_BYTES, default="BF16")
    lm.add_argument("--shard-mb", type=int, default=2500)
    codec = a.add_argument_group("codec (SNAC 24 kHz)")
    codec.add_argument("--encoder-dim", type=int, default=48)
    codec.add_argument("--decoder-dim", type=int, default=1024)
    codec.add_argument("--codec-dtype", choices=formats.ITEM_BYTES, default="F32")
    o = a.parse_args()
    if "lm" in o.parts.split(","):
        write_lm(o.out / "lm", o)
    if "codec" in o.parts.split(","):
        write_codec(o.out / "codec", o)


if __name__ == "__main__":
    main()
