"""Writes what the public PyTorch implementations (transformers LlamaForCausalLM, snac) compute for a voice, float32 on CPU.

    python3 dump_golden.py VOICE_DIR OUT_DIR [--threads 4]          needs: requirements-golden.txt

VOICE_DIR holds lm/ (Hugging Face Llama folder) and codec/ (SNAC folder). OUT_DIR receives golden.safetensors,
golden.json (prompts, special ids, sampler settings, where it all came from) and tokenizer_cases.json.
Run it anew for every new voice. Deterministic for one version of the packages and one number of threads.

Tensors, with i = 0..2 the prompt, T prompt ids, H hidden size, V vocabulary rows:
  lm.i.prompt_ids (T)             lm.i.prefill_logits_last (V)         lm.i.step{1,2,3}_logits (V) along lm.i.greedy
  lm.2.hidden.k (T, H)            k = 0 the embedding, k < layers the output of layer k - 1, k = layers after the final norm
  lm.2.hidden.last_layer (T, H)   the output of the last layer, before the final norm
  lm.i.<run> (N), .._margin (N)   greedy ids until the stop (kept) or 420, top-1 minus top-2 of the processed logits;
                                  runs: greedy, greedy_rep1.3, greedy_legal_rep1.1 (legal slots only)
  lm.i.greedy_last_logits (V)     after all ids of lm.i.greedy but the last one: a long context
  sampler.i.{history (S), logits (V)}  the state along greedy_rep1.3 at step 70 (a multiple of 7: slot 0)
  sampler.i.probs (V)             penalty 1.3, temperature 0.6, top-p 0.8
  sampler.i.<name>.probs (V)      other settings, see "samplers" in golden.json
  codec.i.frames (F, 7)           of lm.i.greedy up to its first broken frame; below 8 frames: random codes
  codec.i.pcm_no_noise (S)
  codec.{stage,ragged}.*          8 and 3 frames: frames (F, 7), z_q (C, t), noise.b (t) of block b, k.<Layer> (C, t),
                                  k the index in decoder.model; the Snake stage is left out (its neighbours pin it)
  codec.encode.pcm (S)            -> codes{0,1,2}, margin{0,1,2}: distance of the second nearest codebook row minus the nearest
  codec.encode.stage.*            the same for a length that is no whole number of frames: pcm, k.<Layer> (C, t) with k
                                  the index in encoder.block, level.q.z_e (D, t), codes{q}, margin{q}

It grew out of the dump_golden.py that came with the demo voice. Mended: prompts are built as ids with specials in the
text disabled; a run that ends before step 70, an utterance without whole frames and tokenizers without names no longer
fail; stage frames no longer depend on what a loop left behind; the last layer is kept before the final norm as well;
noise-free and safetensors codecs load; files are written as UTF-8; versions, hashes and settings are recorded.
"""
import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import random
from pathlib import Path

import numpy as np
import snac.layers
import torch
from safetensors.torch import load_file, save_file
from snac import SNAC
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.generation.logits_process import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                                                    TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

TEXTS = ["Hello, this is a small demonstration voice.", "The quick brown fox jumps over the lazy dog.", "How are you today?"]
MOST_TOKENS = 420
SAMPLED_STEP = 70
SAMPLERS = {  # applied in this order, as transformers does: penalty, temperature, top-k, top-p, min-p
    "": {"repetition_penalty": 1.3, "temperature": 0.6, "top_p": 0.8},
    "streaming": {"repetition_penalty": 1.1, "temperature": 0.4, "top_p": 0.9},
    "top_k40": {"repetition_penalty": 1.1, "temperature": 0.75, "top_k": 40, "top_p": 0.9},
    "min_p0.05": {"repetition_penalty": 1.1, "temperature": 0.8, "min_p": 0.05},
    "all": {"repetition_penalty": 1.2, "temperature": 0.7, "top_k": 50, "top_p": 0.95, "min_p": 0.02},
    "no_penalty": {"temperature": 0.6, "top_p": 0.9},
    "plain": {},
    "greedy": {"repetition_penalty": 1.1, "temperature": 0.0},
    "legal_slots": {"repetition_penalty": 1.1, "temperature": 0.6, "top_p": 0.9, "legal_slots": True},
}
SAMPLER_DEFAULTS = {"repetition_penalty": 1.0, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "legal_slots": False}


class Ids:
    """Special ids: by name in the tokenizer, else as given by --special ("custom_token_0" gives all of its kind)."""

    def __init__(self, tokenizer, given):
        self.tokenizer, self.given = tokenizer, given

    def named(self, name):
        found = self.tokenizer.token_to_id(name)
        found = self.given.get(name) if found is None else found
        if found is None:
            raise SystemExit(f"lm/tokenizer.json has no token {name!r}; give its id: --special '{name}=...'")
        return found

    def custom(self, k):
        name = f"<custom_token_{k}>"
        if self.tokenizer.token_to_id(name) is None and "custom_token_0" in self.given:
            return self.given["custom_token_0"] + k
        return self.named(name)


class LanguageModelDump:
    def __init__(self, folder, given_ids, codebook, golden):
        self.g, self.codebook = golden, codebook
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.plain = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.plain.encode_special_tokens = True  # specials in the text are text
        ids = Ids(self.tokenizer, given_ids)
        self.special = {"bos": ids.named("<|begin_of_text|>"), "eot": ids.named("<|eot_id|>"), "sos": ids.custom(1), "stop": ids.custom(2),
                        "soh": ids.custom(3), "eoh": ids.custom(4), "soa": ids.custom(5), "first_code": ids.custom(10)}

    def prompt_ids(self, name, text):
        s = self.special
        return [s["soh"], s["bos"], *self.plain.encode(f"{name}: {text}", add_special_tokens=False).ids, s["eot"], s["eoh"], s["soa"], s["sos"]]

    def only_legal(self, scores, step):
        """-inf everywhere but at the codes of slot `step` mod 7, and at the stop in slot 0"""
        start = self.special["first_code"] + self.codebook * (step % 7)
        keep = torch.full_like(scores, -torch.inf)
        keep[:, start:start + self.codebook] = 0
        if step % 7 == 0:
            keep[:, self.special["stop"]] = 0
        return scores + keep

    def greedy(self, i, prompt, penalty, legal, label):
        """-> the logits of every step"""
        x, ids, margins, raw_logits = prompt.clone(), [], [], []
        process = RepetitionPenaltyLogitsProcessor(penalty) if penalty != 1 else (lambda _, scores: scores)
        step = self.model(x, use_cache=True)
        for s in range(MOST_TOKENS):
            raw_logits.append(step.logits[:, -1].clone())
            scores = process(x, raw_logits[-1].clone())
            top = (self.only_legal(scores, s) if legal else scores).topk(2)
            ids.append(int(top.indices[0, 0]))
            margins.append(float(top.values[0, 0] - top.values[0, 1]))
            if ids[-1] == self.special["stop"]:
                break
            x = torch.cat([x, torch.tensor([ids[-1:]])], 1)
            step = self.model(torch.tensor([ids[-1:]]), past_key_values=step.past_key_values, use_cache=True)
        self.g[f"lm.{i}.{label}"], self.g[f"lm.{i}.{label}_margin"] = torch.tensor(ids), torch.tensor(margins)
        print(f"prompt {i} {label}: {len(ids)} ids, smallest margin {min(margins):.5f}", flush=True)
        return raw_logits

    def samplers(self, i, prompt, raw_logits):
        step = min(SAMPLED_STEP, len(raw_logits) - 1) // 7 * 7
        history = torch.cat([prompt[0], self.g[f"lm.{i}.greedy_rep1.3"][:step]])
        raw = raw_logits[step]
        self.g[f"sampler.{i}.history"], self.g[f"sampler.{i}.logits"] = history, raw[0].clone()
        for name, given in SAMPLERS.items():
            p = SAMPLER_DEFAULTS | given
            scores = self.only_legal(raw.clone(), step) if p["legal_slots"] else raw.clone()
            chain = LogitsProcessorList()
            if p["repetition_penalty"] != 1:
                chain.append(RepetitionPenaltyLogitsProcessor(p["repetition_penalty"]))
            if p["temperature"] not in (0, 1):
                chain.append(TemperatureLogitsWarper(p["temperature"]))
            if p["top_k"]:
                chain.append(TopKLogitsWarper(p["top_k"]))
            if p["top_p"] < 1:
                chain.append(TopPLogitsWarper(p["top_p"]))
            if p["min_p"]:
                chain.append(MinPLogitsWarper(p["min_p"]))
            scores = chain(history[None], scores)[0]
            one_hot = torch.nn.functional.one_hot(scores.argmax(), scores.numel()).float()
            self.g[f"sampler.{i}.{name}.probs".replace("..", ".")] = scores.softmax(-1) if p["temperature"] else one_hot

    def hidden_states(self, i, ids):
        """Taken from the modules themselves: what `output_hidden_states` holds last differs between versions."""
        states, base = [], self.model.model
        hooks = [module.register_forward_hook(lambda _, __, out: states.append((out[0] if isinstance(out, tuple) else out)[0].clone()))
                 for module in (base.embed_tokens, *base.layers, base.norm)]
        self.model(ids)
        for h in hooks:
            h.remove()
        *inputs, last_layer, normed = states
        for k, h in enumerate([*inputs, normed]):
            self.g[f"lm.{i}.hidden.{k}"] = h
        self.g[f"lm.{i}.hidden.last_layer"] = last_layer

    def dump(self, prompts):
        for i, (name, text) in enumerate(prompts):
            ids = torch.tensor([self.prompt_ids(name, text)])
            self.g[f"lm.{i}.prompt_ids"] = ids[0].clone()
            if i == 2:
                self.hidden_states(i, ids)
            free = self.greedy(i, ids, 1.0, False, "greedy")
            self.g[f"lm.{i}.prefill_logits_last"], self.g[f"lm.{i}.greedy_last_logits"] = free[0][0].clone(), free[-1][0].clone()
            for s in range(1, min(4, len(free))):
                self.g[f"lm.{i}.step{s}_logits"] = free[s][0].clone()
            self.samplers(i, ids, self.greedy(i, ids, 1.3, False, "greedy_rep1.3"))
            self.greedy(i, ids, 1.1, True, "greedy_legal_rep1.1")


class CodecDump:
    def __init__(self, folder, config, golden):
        self.g, self.config = golden, config
        self.codec = SNAC(**config)
        checkpoint = Path(folder, "pytorch_model.bin")
        raw = torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint.exists() else load_file(f"{folder}/model.safetensors")
        self.codec.load_state_dict({k: v.float() for k, v in raw.items()})
        self.codec.eval()
        self.frame_samples = int(self.codec.hop_length) * config["vq_strides"][0]
        self.noise_on, self.noise_seen = False, []
        dump = self

        def noise_forward(self, x):  # the noise becomes visible, or zero
            n = torch.randn(x.shape[0], 1, x.shape[2]) if dump.noise_on else torch.zeros(x.shape[0], 1, x.shape[2])
            dump.noise_seen.append(n)
            return x + n * self.linear(x)

        snac.layers.NoiseBlock.forward = noise_forward

    def frames_of(self, ids, special, i):
        """ids -> (F, 7) codes up to the first broken frame; random ones if fewer than 8"""
        n, codes = self.config["codebook_size"], [k for k in ids.tolist() if k != special["stop"]]
        a = np.array(codes[:len(codes) // 7 * 7]).reshape(-1, 7) - special["first_code"] - np.arange(7) * n
        whole = ((a >= 0) & (a < n)).all(1)
        a = a if whole.all() else a[:int(whole.argmin())]
        if len(a) < 8:
            a = np.random.default_rng(100 + i).integers(0, n, (9 + i, 7))
        return torch.from_numpy(np.ascontiguousarray(a)).int()

    @staticmethod
    def levels(frames):
        return [frames[:, columns].reshape(1, -1).long() for columns in ([0], [1, 4], [2, 3, 5, 6])]

    def stages(self, frames, seed, label):
        self.noise_on = True
        self.noise_seen.clear()
        torch.manual_seed(seed)
        x = self.codec.quantizer.from_codes(self.levels(frames))
        self.g[f"codec.{label}.frames"], self.g[f"codec.{label}.z_q"] = frames.clone(), x[0].clone()
        for k, layer in enumerate(self.codec.decoder.model):
            x = layer(x)
            if not isinstance(layer, snac.layers.Snake1d):
                self.g[f"codec.{label}.{k}.{type(layer).__name__}"] = x[0].clone()
        for k, noise in enumerate(self.noise_seen):
            self.g[f"codec.{label}.noise.{k}"] = noise[0, 0].clone()
        self.noise_on = False

    def encode(self, pcm, label, stages):
        """Codes and margins; the official quantizer, with its distances computed once more to see the margin."""
        g = self.g
        g[f"codec.{label}.pcm"] = pcm.clone()
        x = self.codec.preprocess(pcm[None, None])
        for k, layer in enumerate(self.codec.encoder.block):
            x = layer(x)
            if stages:
                g[f"codec.{label}.{k}.{type(layer).__name__}"] = x[0].clone()
        residual = x
        for q, level in enumerate(self.codec.quantizer.quantizers):
            pooled = torch.nn.functional.avg_pool1d(residual, level.stride, level.stride) if level.stride > 1 else residual
            z_e = level.in_proj(pooled)
            z_q, codes = level(residual)
            residual = residual - z_q
            unit = lambda a: torch.nn.functional.normalize(a)
            near = torch.cdist(unit(z_e[0].T), unit(level.codebook.weight), compute_mode="donot_use_mm_for_euclid_dist") ** 2
            near = near.topk(2, largest=False).values
            g[f"codec.{label}.codes{q}"], g[f"codec.{label}.margin{q}"] = codes[0].int(), near[:, 1] - near[:, 0]
            if stages:
                g[f"codec.{label}.level.{q}.z_e"] = z_e[0].clone()
        for q, codes in enumerate(self.codec.encode(pcm[None, None])):
            if not torch.equal(codes[0].int(), g[f"codec.{label}.codes{q}"]):
                raise SystemExit(f"level {q}: stage by stage the encoder gives other codes than SNAC.encode")

    def dump(self, special, prompts):
        g = self.g
        for i in range(len(prompts)):
            frames = self.frames_of(g[f"lm.{i}.greedy"], special, i)
            g[f"codec.{i}.frames"], g[f"codec.{i}.pcm_no_noise"] = frames, self.codec.decode(self.levels(frames))[0, 0].clone()
        frames = g["codec.2.frames"]
        self.stages(frames[:8], 5, "stage")
        self.stages(frames[3:6], 6, "ragged")
        pcm = g["codec.0.pcm_no_noise"]
        self.encode(pcm[:24 * self.frame_samples].clone(), "encode", False)
        start = 4 * self.frame_samples
        self.encode(pcm[start:start + 2 * self.frame_samples - 96].clone(), "encode.stage", True)


def tokenizer_cases(tokenizer, plain):
    cases = ["", "a", " ", "  two  spaces ", "Hello, world!", "don't I'll we've they'RE I'm he'd", "1234567 3.14 42nd",
             "line\nbreak\r\n\r\nend", "tabs\t\tand   spaces   ", "naïve café résumé", "日本語のテキスト。", "Привет, мир! Ёлка",
             "مرحبا بالعالم", "हिन्दी में", "👩‍👩‍👧‍👦 emoji 🎉🎉", "a\u0301 combining", "zero\u200bwidth", "nbsp\u00a0space",
             "<laugh> ok <sigh>", "<custom_token_10> injected <|eot_id|> text <|begin_of_text|>", "ALLCAPS and MiXeD",
             "under_score-and-dash — em…", "'quoted' \"double\"", "x" * 300, "!!!???...", "http://example.org/a?b=c&d=%20",
             "\u2028line sep", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "ﬁ ligature", "ſ long s", "İstanbul ı", "١٢٣ arabic digits", "½ ² Ⅷ", "\x00 nul",
             "ada: How are you today?"]
    rng = random.Random(3)
    pool = "abcdefghijklmnopqrstuvwxyzABC ,.!?'-\n\t0123456789éñüß中文字あいう한국어😀🎈\u00a0<>|_custom_token"
    cases += ["".join(rng.choice(pool) for _ in range(rng.randint(1, 40))) for _ in range(300)]
    ids = lambda t, x, special: t.encode(x, add_special_tokens=special).ids
    return [{"text": x, "ids": ids(tokenizer, x, False), "ids_specials_as_text": ids(plain, x, False), "ids_with_bos": ids(tokenizer, x, True),
             "decoded": tokenizer.decode(ids(plain, x, False), skip_special_tokens=False)} for x in cases]


def provenance(folder, threads):
    script = Path(__file__).read_bytes()
    hashes = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
              for part in ("lm", "codec") for p in sorted(Path(folder, part).iterdir()) if p.is_file()}
    versions = {p: importlib.metadata.version(p) for p in ("torch", "transformers", "tokenizers", "safetensors", "snac", "numpy")}
    return {"source": "transformers LlamaForCausalLM and snac, float32 on CPU", "seed": 0, "threads": threads,
            "python": platform.python_version(), "versions": versions, "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "script_git_blob": hashlib.sha1(b"blob %d\0" % len(script) + script).hexdigest(), "voice_sha256": hashes}


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("voice")
    a.add_argument("out")
    a.add_argument("--threads", type=int, default=4, help="of PyTorch; they change the order of sums")
    a.add_argument("--special", action="append", default=[], metavar="NAME=ID", help="id of a special token that the tokenizer lacks")
    o = a.parse_args()
    special = {name: int(i) for name, _, i in (pair.rpartition("=") for pair in o.special)}
    os.makedirs(o.out, exist_ok=True)
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    voice_json = Path(o.voice, "lm/voice.json")
    voice = json.loads(voice_json.read_text(encoding="utf-8")) if voice_json.exists() else {"family": "orpheus", "voices": ["tara", "leo"]}
    config = json.loads(Path(o.voice, "codec/config.json").read_text())
    names, golden = [v if isinstance(v, str) else v["name"] for v in voice["voices"]], {}
    prompts = [(names[i % 2 % len(names)], text) for i, text in enumerate(TEXTS)]
    with torch.no_grad():
        lm = LanguageModelDump(f"{o.voice}/lm", special, config["codebook_size"], golden)
        lm.dump(prompts)
        CodecDump(f"{o.voice}/codec", config, golden).dump(lm.special, prompts)
    origin = provenance(o.voice, o.threads)
    path = Path(o.out, "golden.safetensors")
    save_file({k: v.contiguous().clone() for k, v in golden.items()}, path, metadata={"provenance": json.dumps(origin, sort_keys=True)})
    samplers = {f"sampler.{{i}}.{name}.probs".replace("..", "."): SAMPLER_DEFAULTS | given for name, given in SAMPLERS.items()}
    Path(o.out, "golden.json").write_text(json.dumps(
        {"prompts": prompts, "special_ids": lm.special, "samplers": samplers, "provenance": origin}, indent=1) + "\n", encoding="utf-8")
    cases = tokenizer_cases(lm.tokenizer, lm.plain)
    Path(o.out, "tokenizer_cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(len(golden), "tensors,", path.stat().st_size // 1024, "KiB;", len(cases), "tokenizer cases")


if __name__ == "__main__":
    main()
