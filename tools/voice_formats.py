"""Writers of the public file formats a voice is made of: safetensors, torch checkpoint, tokenizer.json.

Only numpy and the standard library: the torch checkpoint (a zip with a pickle) is written opcode by opcode, so no
PyTorch is needed to make one. Both tensor writers take tensors as (name, dtype, shape, chunks) with chunks an iterable
of bytes-like pieces, so that a model larger than memory can be streamed to disk. Output is byte-for-byte deterministic.
"""
import json
import math
import struct
import zipfile
from pathlib import Path

import numpy as np

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
TORCH_STORAGE = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}

# The split pattern of Llama 3, as its public tokenizer.json spells it.
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def to_bytes(array, dtype):
    """float32 array -> little-endian bytes of `dtype`; bf16 rounds to nearest, ties to even."""
    if dtype == "F32":
        return array.astype("<f4").tobytes()
    if dtype == "F16":
        return array.astype("<f2").tobytes()
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    """tensors: iterable of (name, dtype, shape, chunks)."""
    tensors = list(tensors)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, _ in tensors:
        start, end = end, end + math.prod(shape) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data start aligned to 8 bytes, as the format asks of writers
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, chunks in tensors:
            f.writelines(chunks)
        if f.tell() != 8 + len(text) + end:
            raise ValueError(f"{path}: wrote {f.tell() - 8 - len(text)} bytes of tensors, the header says {end}")


def _text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def _integer(i):
    return b"K" + bytes([i]) if i < 256 else b"J" + struct.pack("<i", i)


def _tuple(*items):
    return b"(" + b"".join(items) + b"t"


_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def _rebuild(storage, dtype, storage_items, offset_items, shape):
    """Pickle of torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)."""
    stride = [math.prod(shape[k + 1:]) for k in range(len(shape))]  # contiguous
    persistent_id = _tuple(_text("storage"), b"ctorch\n" + TORCH_STORAGE[dtype].encode() + b"\n", _text(str(storage)),
                           _text("cpu"), _integer(storage_items)) + b"Q"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n" +
            _tuple(persistent_id, _integer(offset_items), _tuple(*map(_integer, shape)),
                   _tuple(*map(_integer, stride)), b"\x89", _ORDERED_DICT) + b"R")


def write_torch_checkpoint(path, tensors, shared=()):
    """A state dict as torch.save writes it: pickle protocol 2 in a stored zip, one storage for each tensor.

    Names in `shared` become views into one common storage (equal dtype), as views of a larger tensor do in real files:
    a reader has to honour storage offsets. Like a module's state_dict() the result carries a `_metadata` attribute.
    """
    tensors = list(tensors)
    pooled = [t for t in tensors if t[0] in shared]
    pool_items = sum(math.prod(shape) for _, _, shape, _ in pooled)
    pickle, storages, pool_at, pool_used = [b"\x80\x02", _ORDERED_DICT, b"("], [], None, 0
    for tensor in tensors:
        name, dtype, shape, chunks = tensor
        items = math.prod(shape)
        pickle.append(_text(name))
        if name in shared:
            if pool_at is None:
                pool_at = len(storages)
                storages.append([chunk for t in pooled for chunk in t[3]])
            pickle.append(_rebuild(pool_at, dtype, pool_items, pool_used, shape))
            pool_used += items
        else:
            pickle.append(_rebuild(len(storages), dtype, items, 0, shape))
            storages.append(chunks)
    metadata = b"}" + b"(" + _text("version") + _integer(1) + b"u"
    pickle += [b"u", b"}", _text("_metadata"), _ORDERED_DICT, _text(""), metadata, b"s", b"s", b"b", b"."]
    root = Path(path).stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        def member(name, chunks):
            info = zipfile.ZipInfo(f"{root}/{name}")  # dated 1980: deterministic
            # As torch.save does it: every member's bytes begin at a multiple of 64, behind a field of padding.
            head = z.fp.tell() + 30 + len(info.filename) + 4
            padding = -head % 64
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            with z.open(info, "w", force_zip64=False) as f:
                for chunk in chunks:
                    f.write(chunk)
        member("data.pkl", [b"".join(pickle)])
        member("byteorder", [b"little"])
        for k, chunks in enumerate(storages):
            member(f"data/{k}", chunks)
        member("version", [b"3\n"])


def byte_letters():
    """The 256 printable letters of byte-level BPE, in the order of their token ids."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [chr(b) for b in printable] + [chr(256 + k) for k in range(256 - len(printable))]


def write_tokenizer(path, merges, special, bos="<|begin_of_text|>"):
    """Byte-level BPE: 256 letters, one piece a merge, then `special` ({name: id}). Also writes tokenizer_config.json."""
    vocab = {letter: k for k, letter in enumerate(byte_letters())}
    for left, right in merges:
        vocab[left + right] = len(vocab)
    if len(vocab) != 256 + len(merges):
        raise ValueError("two merges make the same piece")
    one = {"SpecialToken": {"id": bos, "type_id": 0}}
    two = {"SpecialToken": {"id": bos, "type_id": 1}}
    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": name, **flags} for name, i in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {"type": "TemplateProcessing", "single": [one, first], "pair": [one, first, two, second],
             "special_tokens": {bos: {"id": bos, "ids": [special[bos]], "tokens": [bos]}}}]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": [list(m) for m in merges]}}
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")))  # dump() takes ten times as long
    write_json(Path(path).parent / "tokenizer_config.json",
               {"bos_token": bos, "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True,
                "model_input_names": ["input_ids", "attention_mask"], "tokenizer_class": "PreTrainedTokenizerFast"})


def write_json(path, value):
    Path(path).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def lm_shapes(c):
    """{name: shape} of a Llama checkpoint with the sizes of config `c`, in the order in which they are written."""
    hidden, ffn, dim = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        shapes |= {p + "input_layernorm.weight": (hidden,),
                   p + "self_attn.q_proj.weight": (q, hidden), p + "self_attn.k_proj.weight": (kv, hidden),
                   p + "self_attn.v_proj.weight": (kv, hidden), p + "self_attn.o_proj.weight": (hidden, q),
                   p + "post_attention_layernorm.weight": (hidden,),
                   p + "mlp.gate_proj.weight": (ffn, hidden), p + "mlp.up_proj.weight": (ffn, hidden),
                   p + "mlp.down_proj.weight": (hidden, ffn)}
    shapes["model.norm.weight"] = (hidden,)
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def codec_layers(c):
    """SNAC's layers with parameters for config `c` (depthwise, with noise, no attention), in module order.

    Yields (kind, module name, shape): "conv" (weight normed; shape of v; the first axis keeps its norm), "bare" (the
    same without bias), "snake" (1, C, 1) and "codebook" (N, D).
    """
    width = c["encoder_dim"]
    yield "conv", "encoder.block.0", (width, 1, 7)
    for k, stride in enumerate(c["encoder_rates"]):
        b = f"encoder.block.{k + 1}.block"
        for unit in range(3):
            yield from _residual_unit(f"{b}.{unit}.block", width)
        yield "snake", f"{b}.3", (1, width, 1)
        yield "conv", f"{b}.4", (2 * width, width, 2 * stride)
        width *= 2
    yield "conv", f"encoder.block.{len(c['encoder_rates']) + 1}", (width, 1, 7)
    dim = c["codebook_dim"]
    for k in range(len(c["vq_strides"])):
        q = f"quantizer.quantizers.{k}"
        yield "conv", f"{q}.in_proj", (dim, width, 1)
        yield "conv", f"{q}.out_proj", (width, dim, 1)
        yield "codebook", f"{q}.codebook", (c["codebook_size"], dim)
    yield "conv", "decoder.model.0", (width, 1, 7)
    yield "conv", "decoder.model.1", (c["decoder_dim"], width, 1)
    width = c["decoder_dim"]
    for k, stride in enumerate(c["decoder_rates"]):
        b = f"decoder.model.{k + 2}.block"
        yield "snake", f"{b}.0", (1, width, 1)
        yield "conv", f"{b}.1", (width, width // 2, 2 * stride)  # transposed: inputs first
        width //= 2
        yield "bare", f"{b}.2.linear", (width, width, 1)
        for unit in range(3, 6):
            yield from _residual_unit(f"{b}.{unit}.block", width)
    last = len(c["decoder_rates"]) + 2
    yield "snake", f"decoder.model.{last}", (1, width, 1)
    yield "conv", f"decoder.model.{last + 1}", (1, width, 7)


def _residual_unit(b, width):
    yield "snake", f"{b}.0", (1, width, 1)
    yield "conv", f"{b}.1", (width, 1, 7)
    yield "snake", f"{b}.2", (1, width, 1)
    yield "conv", f"{b}.3", (width, width, 1)


def is_transposed(c, module):
    """Whether codec layer `module` is a transposed convolution: its bias then has as many values as axis 1."""
    return module in {f"decoder.model.{k + 2}.block.1" for k in range(len(c["decoder_rates"]))}
