"""Writes a tiny random voice in the public formats, for tests: no size in it equals the demo voice's or the 3B model's.

    python3 make_tiny_voice.py OUT_DIR [--demo voices/demo]         needs numpy; the output is byte-for-byte reproducible

What it covers that the demo voice does not: one model.safetensors of float16 matrices with float32 norms, an untied
output row set, `rope_parameters`, a group of three query heads, hidden != heads * head_dim, vocabulary rows without a
token, a float32 codec checkpoint with the older names weight_g/weight_v, tensors that are views of one storage, a state
dict with `_metadata`, odd strides (a frame has 480 samples), and a codebook of 64.
"""
import argparse
import json
from pathlib import Path

import numpy as np

import voice_formats as formats

# Picked among 0..23: along six greedy runs the two best logits stay 2.7e-3 apart (so that exact token comparisons do
# not hinge on rounding), and most sampled utterances end by themselves, after 13 to 60 frames.
SEED = 2
BPE_PIECES = 320
CODEBOOK = 64

CODEC = {"sampling_rate": 24000, "encoder_dim": 10, "encoder_rates": [6, 5, 4], "latent_dim": None, "decoder_dim": 64,
         "decoder_rates": [5, 4, 3, 2], "attn_window_size": None, "codebook_size": CODEBOOK, "codebook_dim": 6,
         "vq_strides": [4, 2, 1], "noise": True, "depthwise": True}


def special_tokens():
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_0|>", "<|eot_id|>", "<|reserved_1|>"]
    names += [f"<custom_token_{k}>" for k in range(10 + 7 * CODEBOOK)]
    return {name: BPE_PIECES + k for k, name in enumerate(names)}


def lm_config(special):
    return {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": special["<|begin_of_text|>"], "dtype": "float16", "eos_token_id": special["<|eot_id|>"],
            "head_dim": 24, "hidden_act": "silu", "hidden_size": 72, "initializer_range": 0.02,
            "intermediate_size": 160, "max_position_embeddings": 2048, "mlp_bias": False, "model_type": "llama",
            "num_attention_heads": 6, "num_hidden_layers": 2, "num_key_value_heads": 2, "pretraining_tp": 1,
            "rms_norm_eps": 1e-06,
            "rope_parameters": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                                "original_max_position_embeddings": 256, "rope_theta": 10000.0, "rope_type": "llama3"},
            "tie_word_embeddings": False, "use_cache": True, "vocab_size": max(special.values()) + 7}


def lm_tensors(config, rng):
    for name, shape in formats.lm_shapes(config).items():
        if len(shape) == 1:
            yield name, "F32", shape, [formats.to_bytes(rng.uniform(0.7, 1.3, shape), "F32")]
            continue
        # Attention sharp enough to depend on position, logits with a spread of about 3.
        gain = {"q_proj": 1.6, "k_proj": 1.6, "lm_head": 3.0}.get(name.split(".")[-2], 1.0)
        sigma = 1.0 if "embed" in name else gain / np.sqrt(shape[1])
        yield name, "F16", shape, [formats.to_bytes(rng.standard_normal(shape) * sigma, "F16")]


def codec_tensors(config, rng):
    def tensor(name, value):
        return name, "F32", value.shape, [formats.to_bytes(value, "F32")]

    for kind, module, shape in formats.codec_layers(config):
        if kind == "snake":
            yield tensor(module + ".alpha", rng.uniform(0.5, 2.0, shape))
            continue
        if kind == "codebook":
            yield tensor(module + ".weight", rng.standard_normal(shape))
            continue
        transposed = formats.is_transposed(config, module)
        if kind == "conv":
            outputs = shape[1] if transposed else shape[0]
            yield tensor(module + ".bias", 0.05 * rng.standard_normal(outputs))
        # g is the norm of a row: 1 keeps the variance where a row sums over its inputs. A transposed row spreads one
        # input over outputs * 2 * stride taps, of which an output sees two an input; 0.6 makes up for what the residual
        # units of a block add.
        row = 0.6 * np.sqrt(shape[1] / shape[0] * shape[2] / 2) if transposed else 1.0
        gain = 0.5 if module.endswith(".block.3") or kind == "bare" else 1.0
        if shape[0] == 1:
            gain = 0.25  # the last convolution: keeps tanh in its middle
        yield tensor(module + ".weight_g", gain * row * rng.uniform(0.8, 1.2, (shape[0], 1, 1)))
        yield tensor(module + ".weight_v", rng.standard_normal(shape))


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("out", type=Path)
    a.add_argument("--demo", type=Path, default=Path(__file__).parent.parent / "voices/demo", help="source of BPE merges")
    a.add_argument("--seed", type=int, default=SEED)
    o = a.parse_args()
    lm, codec = o.out / "lm", o.out / "codec"
    lm.mkdir(parents=True, exist_ok=True)
    codec.mkdir(exist_ok=True)
    rng = np.random.default_rng(o.seed)

    special = special_tokens()
    merges = json.loads((o.demo / "lm/tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    formats.write_tokenizer(lm / "tokenizer.json", merges[:BPE_PIECES - 256], special)
    config = lm_config(special)
    formats.write_json(lm / "config.json", config)
    formats.write_json(lm / "generation_config.json", {
        "bos_token_id": config["bos_token_id"], "eos_token_id": [special["<|eot_id|>"], special["<custom_token_2>"]],
        "do_sample": True, "temperature": 0.7, "top_p": 0.95})
    formats.write_json(lm / "voice.json", {"family": "orpheus", "voices": ["kit", "lou"], "default_voice": "kit"})
    formats.write_safetensors(lm / "model.safetensors", lm_tensors(config, rng))

    formats.write_json(codec / "config.json", CODEC)
    tensors = list(codec_tensors(CODEC, rng))
    formats.write_torch_checkpoint(codec / "pytorch_model.bin", tensors, shared={t[0] for t in tensors if t[0].endswith(".alpha")})


if __name__ == "__main__":
    main()
