"""The slow oracle: both models in plain numpy, for listening and for checking by hand.

    python3 speak.py VOICE_DIR "text" out.wav [--voice ada] [--seed 1] [--temperature 0.6] [--top-p 0.9] [--penalty 1.1]
    python3 speak.py VOICE_DIR --sentences FILE OUT_DIR [--voice ada,max] ...   line n of FILE -> OUT_DIR/nn.wav

Legal slots only, whole-utterance codec decode, noise from the seed. It reads safetensors, the torch checkpoint and
tokenizer.json itself, so it also shows the formats. Checked only on English text (ASCII split pattern). It grew out of
the speak.py that came with the demo voice; this copy also takes fp16 and fp32 tensors, single-file and untied models,
both spellings of the RoPE settings and of weight norm, odd strides, and computes attention for all heads at once.
With several voices (--voice a,b) sentences take them in turn.
"""
import argparse
import io
import json
import math
import os
import pickle
import re
import struct
import sys
import time
import wave
import zipfile

import numpy as np


def to_float32(raw, dtype):
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    return {name: to_float32(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]], t["dtype"]).reshape(t["shape"])
            for name, t in json.loads(data[8:start]).items() if name != "__metadata__"}


class StateDictReader(pickle.Unpickler):
    """A closed unpickler: only what a state dict needs."""

    class Dict(dict):  # stands for OrderedDict; an attribute (_metadata) may be set on it
        pass

    def __init__(self, zip_file):
        self.zip = zip_file
        pkl = next(n for n in zip_file.namelist() if n.endswith("/data.pkl"))
        self.root = pkl[:-len("/data.pkl")]
        super().__init__(io.BytesIO(zip_file.read(pkl)))

    def find_class(self, module, name):
        def tensor(storage, offset, size, stride, *_):
            return np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride]).copy()
        return {"_rebuild_tensor_v2": tensor, "OrderedDict": self.Dict, "HalfStorage": "F16", "FloatStorage": "F32",
                "BFloat16Storage": "BF16"}[name]

    def persistent_load(self, key):
        return to_float32(self.zip.read(f"{self.root}/data/{key[2]}"), key[1])


class Tokenizer:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            t = json.load(f)
        self.vocab = t["model"]["vocab"]
        self.rank = {tuple(m.split(" ") if isinstance(m, str) else m): i for i, m in enumerate(t["model"]["merges"])}
        self.special = {a["content"]: a["id"] for a in t["added_tokens"]}
        printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
        self.byte = {b: chr(b) for b in printable}
        for k, b in enumerate(b for b in range(256) if b not in self.byte):
            self.byte[b] = chr(256 + k)
        self.split = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*"
                                r"|\s*[\r\n]+|\s+(?!\S)|\s+")

    def custom(self, k):
        return self.special[f"<custom_token_{k}>"]

    def encode(self, text):
        ids = []
        for word in self.split.findall(text):
            p = [self.byte[b] for b in word.encode()]
            if "".join(p) in self.vocab:  # ignore_merges
                p = ["".join(p)]
            while len(p) > 1:
                k = min(range(len(p) - 1), key=lambda i: self.rank.get((p[i], p[i + 1]), 1 << 30))
                if (p[k], p[k + 1]) not in self.rank:
                    break
                p[k:k + 2] = [p[k] + p[k + 1]]
            ids += [self.vocab[x] for x in p]
        return ids

    def prompt(self, voice, text):
        """SOH, BOS, "voice: text", EOT, EOH, SOA, SOS"""
        return ([self.custom(3), self.special["<|begin_of_text|>"]] + self.encode(f"{voice}: {text}") +
                [self.special["<|eot_id|>"]] + [self.custom(k) for k in (4, 5, 1)])


def rope_frequencies(c):
    """(head_dim / 2,) radians a position; config spells the settings rope_parameters, or rope_scaling + rope_theta."""
    r = c.get("rope_parameters") or {**(c.get("rope_scaling") or {}), "rope_theta": c["rope_theta"]}
    inv = 1 / (r["rope_theta"] ** (np.arange(0, c["head_dim"], 2) / c["head_dim"]))
    if r.get("rope_type", "default") == "default":
        return inv
    length, old = 2 * np.pi / inv, r["original_max_position_embeddings"]
    mix = (old / length - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
    return np.where(length > old / r["low_freq_factor"], inv / r["factor"],
                    np.where(length < old / r["high_freq_factor"], inv, (1 - mix) * inv / r["factor"] + mix * inv))


class Llama:
    MOST_TOKENS = 4096

    def __init__(self, folder):
        with open(f"{folder}/config.json") as f:
            self.c = json.load(f)
        self.c.setdefault("head_dim", self.c["hidden_size"] // self.c["num_attention_heads"])
        index, files = f"{folder}/model.safetensors.index.json", ["model.safetensors"]
        if os.path.exists(index):
            with open(index) as f:
                files = sorted(set(json.load(f)["weight_map"].values()))
        self.w = {}
        for name in files:
            self.w.update(read_safetensors(f"{folder}/{name}"))
        self.head = self.w["model.embed_tokens.weight" if self.c["tie_word_embeddings"] else "lm_head.weight"]
        self.inv = rope_frequencies(self.c)
        shape = (self.c["num_hidden_layers"], self.c["num_key_value_heads"], self.MOST_TOKENS, self.c["head_dim"])
        self.k, self.v, self.pos = np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0

    def step(self, ids, hidden=None):
        """ids of this step -> logits (V,) after the last one; appends to `hidden` what transformers calls hidden states."""
        c, n = self.c, len(ids)
        heads, kv_heads, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        group, lo, hi = heads // kv_heads, self.pos, self.pos + n
        keep = [] if hidden is None else hidden

        def norm(x, w):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(c["rms_norm_eps"])) * w

        angle = np.concatenate([np.arange(lo, hi)[:, None] * self.inv] * 2, 1)[:, None]  # (n, 1, dim)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

        def turn(a):
            return a * cos + np.concatenate([-a[..., dim // 2:], a[..., :dim // 2]], -1) * sin

        future = np.arange(hi)[None] > np.arange(lo, hi)[:, None]  # (n, hi)
        x = self.w["model.embed_tokens.weight"][ids]
        for layer in range(c["num_hidden_layers"]):
            keep.append(x)

            def w(name):
                return self.w[f"model.layers.{layer}.{name}.weight"]

            h = norm(x, w("input_layernorm"))
            q = turn((h @ w("self_attn.q_proj").T).reshape(n, heads, dim)) / np.float32(math.sqrt(dim))
            self.k[layer, :, lo:hi] = turn((h @ w("self_attn.k_proj").T).reshape(n, kv_heads, dim)).swapaxes(0, 1)
            self.v[layer, :, lo:hi] = (h @ w("self_attn.v_proj").T).reshape(n, kv_heads, dim).swapaxes(0, 1)
            q = q.reshape(n, kv_heads, group, dim).transpose(1, 2, 0, 3).reshape(kv_heads, group * n, dim)
            a = (q @ self.k[layer, :, :hi].swapaxes(1, 2)).reshape(kv_heads, group, n, hi)
            a = np.where(future, -np.inf, a)
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            o = a.reshape(kv_heads, group * n, hi) @ self.v[layer, :, :hi]
            o = o.reshape(kv_heads, group, n, dim).transpose(2, 0, 1, 3).reshape(n, heads * dim)
            x = x + o @ w("self_attn.o_proj").T
            h = norm(x, w("post_attention_layernorm"))
            gate = h @ w("mlp.gate_proj").T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
        self.pos = hi
        x = norm(x, self.w["model.norm.weight"])
        keep.append(x)
        return self.head @ x[-1]


def read_codec_weights(folder):
    """Weight norm folded: g * v / |v|, the norm over all axes but the first."""
    checkpoint = f"{folder}/pytorch_model.bin"
    if os.path.exists(checkpoint):
        with zipfile.ZipFile(checkpoint) as z:
            raw = dict(StateDictReader(z).load())
    else:
        raw = read_safetensors(f"{folder}/model.safetensors")
    weights = {}
    for name, v in raw.items():
        for direction, length in (("parametrizations.weight.original1", "parametrizations.weight.original0"),
                                  ("weight_v", "weight_g")):
            if name.endswith(direction):
                module = name[:-len(direction)]
                norm = np.sqrt((v.reshape(len(v), -1) ** 2).sum(1)).reshape(-1, 1, 1)
                weights[module + "weight"] = raw[module + length] * v / norm
        if not re.search(r"weight_[gv]$|\.original[01]$", name):
            weights[name] = v
    return weights


class Snac:
    def __init__(self, folder):
        with open(f"{folder}/config.json") as f:
            self.c = json.load(f)
        if self.c["attn_window_size"] is not None or not self.c["depthwise"]:
            raise ValueError(f"{folder}/config.json: only the depthwise model without attention (24 kHz) is implemented")
        self.w = read_codec_weights(folder)
        self.frame_samples = self.c["vq_strides"][0] * math.prod(self.c["decoder_rates"])

    def pointwise(self, x, k):
        return self.w[k + ".weight"][:, :, 0] @ x + (self.w[k + ".bias"][:, None] if k + ".bias" in self.w else 0)

    def snake(self, x, k):
        alpha = self.w[k + ".alpha"][0]
        return x + np.sin(alpha * x) ** 2 / (alpha + np.float32(1e-9))

    def depthwise(self, x, k, d):
        w, t, p = self.w[k + ".weight"][:, 0], x.shape[1], np.pad(x, ((0, 0), (3 * d, 3 * d)))
        return sum(w[:, j:j + 1] * p[:, j * d:j * d + t] for j in range(7)) + self.w[k + ".bias"][:, None]

    def upsample(self, x, k, stride):
        """Transposed convolution, kernel 2 * stride, weight (C_in, C_out, 2 stride); (C_in, t) -> (C_out, t * stride)."""
        w, t, pad = self.w[k + ".weight"], x.shape[1], math.ceil(stride / 2)
        y = np.zeros((w.shape[1], (t + 1) * stride + stride % 2), np.float32)  # output_padding = stride % 2
        for j in range(2 * stride):
            y[:, j:j + t * stride:stride] += w[:, :, j].T @ x
        return y[:, pad:pad + t * stride] + self.w[k + ".bias"][:, None]

    def from_codes(self, frames):
        """frames (F, 7) -> z_q (latent, F * vq_strides[0])"""
        levels = [frames[:, [0]].ravel(), frames[:, [1, 4]].ravel(), frames[:, [2, 3, 5, 6]].ravel()]
        return sum(np.repeat(self.pointwise(self.w[f"quantizer.quantizers.{i}.codebook.weight"][c].T,
                                            f"quantizer.quantizers.{i}.out_proj"), s, 1)
                   for i, (c, s) in enumerate(zip(levels, self.c["vq_strides"])))

    def decode(self, frames, noise):
        """frames (F, 7) -> (F * frame_samples,); noise(block, samples) gives that block's values, one a time step."""
        x = self.pointwise(self.depthwise(self.from_codes(frames), "decoder.model.0", 1), "decoder.model.1")
        for m, stride in enumerate(self.c["decoder_rates"]):
            b = f"decoder.model.{m + 2}.block"
            x = self.upsample(self.snake(x, b + ".0"), b + ".1", stride)
            shift = 0
            if self.c["noise"]:
                x, shift = x + noise(m, x.shape[1])[None] * self.pointwise(x, b + ".2.linear"), 1
            for unit, dilation in ((2, 1), (3, 3), (4, 9)):
                k = f"{b}.{unit + shift}.block"
                y = self.snake(self.depthwise(self.snake(x, k + ".0"), k + ".1", dilation), k + ".2")
                x = x + self.pointwise(y, k + ".3")
        last = 2 + len(self.c["decoder_rates"])
        x, w = np.pad(self.snake(x, f"decoder.model.{last}"), ((0, 0), (3, 3))), self.w[f"decoder.model.{last + 1}.weight"][0]
        return np.tanh(sum(w[:, j] @ x[:, j:j + x.shape[1] - 6] for j in range(7)) + self.w[f"decoder.model.{last + 1}.bias"])


class Voice:
    def __init__(self, folder):
        self.tokenizer, self.lm = Tokenizer(f"{folder}/lm/tokenizer.json"), Llama(f"{folder}/lm")
        self.codec = Snac(f"{folder}/codec")

    def frames(self, voice, text, rng, temperature, top_p, penalty, most_tokens=1000):
        """-> codes (F, 7)"""
        codes, first, stop = self.codec.c["codebook_size"], self.tokenizer.custom(10), self.tokenizer.custom(2)
        prompt, ids = self.tokenizer.prompt(voice, text), []
        seen = np.zeros(self.lm.c["vocab_size"], bool)
        seen[prompt] = True
        self.lm.pos = 0
        logits = self.lm.step(prompt)
        while len(ids) < most_tokens:
            legal = np.arange(codes) + first + codes * (len(ids) % 7)
            if len(ids) % 7 == 0:
                legal = np.append(legal, stop)
            z = logits[legal]
            z = np.where(seen[legal], np.where(z > 0, z / np.float32(penalty), z * np.float32(penalty)), z)
            if temperature == 0:
                k = int(z.argmax())
            else:
                p = np.exp((z - z.max()) / np.float32(temperature))
                p /= p.sum()
                order = np.argsort(-p, kind="stable")
                q = p[order] * (np.cumsum(p[order]) - p[order] < top_p)
                k = int(order[rng.choice(len(q), p=q / q.sum())])
            if legal[k] == stop:
                break
            ids.append(int(legal[k]))
            seen[ids[-1]] = True
            logits = self.lm.step(ids[-1:])
        return np.array(ids[:len(ids) // 7 * 7], np.int64).reshape(-1, 7) - first - codes * np.arange(7)

    def speak(self, voice, text, seed, temperature, top_p, penalty):
        """-> PCM (samples,) in -1..1"""
        rng = np.random.default_rng(seed)
        frames = self.frames(voice, text, rng, temperature, top_p, penalty)
        if len(frames) == 0:
            return np.zeros(0, np.float32)
        return self.codec.decode(frames, lambda block, samples: rng.standard_normal(samples).astype(np.float32))


def write_wav(path, pcm, rate_hz):
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate_hz)
        w.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("folder")
    a.add_argument("text", nargs="?")
    a.add_argument("out", help="a WAV file, or with --sentences a folder")
    a.add_argument("--sentences", metavar="FILE", help="speak every line of FILE")
    a.add_argument("--voice", default="ada", help="one name, or several with commas to take in turn")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--temperature", type=float, default=0.6, help="0 is greedy")
    a.add_argument("--top-p", type=float, default=0.9)
    a.add_argument("--penalty", type=float, default=1.1)
    o = a.parse_args()
    if (o.text is None) == (o.sentences is None):
        a.error("give either a text or --sentences FILE")
    voice, names = Voice(o.folder), o.voice.split(",")
    if o.sentences:
        os.makedirs(o.out, exist_ok=True)
        with open(o.sentences, encoding="utf-8") as f:
            texts = [line.strip() for line in f if line.strip()]
        jobs = [(text, f"{o.out}/{n:02}.wav") for n, text in enumerate(texts, 1)]
    else:
        jobs = [(o.text, o.out)]
    rate_hz = voice.codec.c["sampling_rate"]
    for n, (text, path) in enumerate(jobs):
        start = time.monotonic()
        pcm = voice.speak(names[n % len(names)], text, o.seed, o.temperature, o.top_p, o.penalty)
        write_wav(path, pcm, rate_hz)
        print(f"{path}: {len(pcm) / rate_hz:.2f} s of speech in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
