#!/usr/bin/env python3
"""Write a model folder of any size with random weights, to measure speed and memory without downloading anything.

Usage:
    make_synthetic.py gpt2 /tmp/gpt2 --tokenizer models/tiny-gpt2
    make_synthetic.py mpt-1.1b /tmp/mpt --dtype fp16 --seed 7
    make_synthetic.py falcon-7b /tmp/falcon --dtype bf16 --kv-heads 1 --layers 8 --shard-gb 2
    make_synthetic.py roberta /tmp/odd --layers 3 --hidden 60 --heads 5 --inner 77 --vocab 1100 --context 90 --no-tied
    make_synthetic.py qwen3-0.6b /tmp/qwen3 --dtype bf16 --gguf /tmp/qwen3.gguf

What comes out: a Hugging Face model folder (config.json, generation_config.json and model.safetensors, or shards with
their index) under transformers' names, with --tokenizer's files. It is written beside its place and renamed when it is
complete. Memory stays below 100 MB whatever the size. Needs numpy. --gguf writes a GGUF file of the same shape beside
it, without a tokenizer, for another program to be timed with (bench/compare.py); only its shape and formats are those
of the folder.

The weights: Philox, a counter-based generator, fills a pool of 4 Mi numbers. Each 1 Mi numbers of a tensor are the sum
of two slices of the pool, whose places are a hash of seed, tensor name and number of the chunk, scaled to the tensor's
spread. So the same seed gives the same weights however they are cut into shards, drawing costs an addition instead of a
generator, and rows do not repeat as they would with one slice. Every step is exact or rounded once by IEEE rules: the
bytes do not depend on the machine. A number is a sum of eight uniform ones: close to normal, never above 4.9 spreads.

Spreads keep activations near 1 at any width and depth: 1 / sqrt(inputs) for matrices (0.036 for 768, 0.022 for 2048),
half as much again for queries, keys and values, so that scores differ by a few units and attention is not uniform, and
1 / sqrt(2 layers) of it for what is added to the residual stream. Norm weights are 1 +- 0.1, biases 0 +- 0.02.
"""

import argparse
import errno
import hashlib
import json
import math
import os
import shutil
import sys
import time
from dataclasses import dataclass, replace

try:
    import numpy as np
except ImportError:
    sys.exit("make_synthetic: numpy is missing\n  try:      apt install python3-numpy, or pip install numpy")

POOL = 1 << 22
CHUNK = 1 << 20
QKV_GAIN = 1.5
NORM_SPREAD, BIAS_SPREAD = 0.1, 0.02
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                   "vocab.json", "merges.txt"]
TOKEN_IDS = ["bos_token_id", "eos_token_id", "pad_token_id"]
DTYPES = {"fp32": ("F32", "float32", 4), "fp16": ("F16", "float16", 2), "bf16": ("BF16", "bfloat16", 2)}


@dataclass(frozen=True)
class Shape:
    family: str
    layers: int
    hidden: int
    heads: int
    vocab: int
    context: int
    kv_heads: int = 0  # 0: as many as heads
    inner: int = 0  # 0: 4 hidden
    tied: bool = True
    parallel: bool = False  # the last three are Falcon's
    alibi: bool = False
    bias: bool = False
    head_dim: int = 0  # 0: hidden / heads

    @property
    def grouped(self):
        """Falcon's new_decoder_architecture: some heads share keys and values, and there are two norms."""
        return 1 < self.kv_heads < self.heads


PRESETS = {
    "gpt2": Shape("gpt2", 12, 768, 12, 50257, 1024),
    "gpt2-xl": Shape("gpt2", 48, 1600, 25, 50257, 1024),
    "roberta": Shape("roberta", 12, 768, 12, 50265, 512),
    "mpt-1.1b": Shape("mpt", 20, 2048, 32, 32000, 2048),
    "mpt-7b": Shape("mpt", 32, 4096, 32, 50432, 2048),
    "falcon-1b": Shape("falcon", 24, 2048, 32, 50304, 2048, alibi=True, bias=True),
    "falcon-7b": Shape("falcon", 32, 4544, 71, 65024, 2048, kv_heads=1, parallel=True),
    "smollm2-135m": Shape("llama", 30, 576, 9, 49152, 8192, kv_heads=3, inner=1536),
    "llama-3.2-1b": Shape("llama", 16, 2048, 32, 128256, 131072, kv_heads=8, inner=8192),
    "qwen3-0.6b": Shape("qwen3", 28, 1024, 16, 151936, 40960, kv_heads=8, inner=3072, head_dim=128),
    "gemma3-270m": Shape("gemma3_text", 18, 640, 4, 262144, 32768, kv_heads=1, inner=2048, head_dim=256),
}
# Families of one skeleton: a norm before each branch, grouped heads, a gated MLP. Gemma's norms add 1 to their weights.
DECODERS = {"llama", "qwen3", "gemma3_text"}
GEMMA_WINDOW, GEMMA_FULL_EACH = 512, 6


@dataclass(frozen=True)
class Tensor:
    name: str
    dims: tuple
    centre: float
    spread: float

    @property
    def size(self):
        return math.prod(self.dims)


class Problem(Exception):
    """Something the user can mend; its text is the whole message."""


# --- which tensors a family has ---------------------------------------------------------------------------------------


def matrix(name, rows, columns, inputs=None, gain=1.0):
    yield Tensor(name, (rows, columns), 0.0, gain / math.sqrt(inputs or columns))


def linear(name, outputs, inputs, bias=True, gain=1.0, turned=False):
    rows, columns = (inputs, outputs) if turned else (outputs, inputs)
    yield from matrix(name + ".weight", rows, columns, inputs, gain)
    if bias:
        yield Tensor(name + ".bias", (outputs,), 0.0, BIAS_SPREAD)


def norm(name, width, bias=True):
    yield Tensor(name + ".weight", (width,), 1.0, NORM_SPREAD)
    if bias:
        yield Tensor(name + ".bias", (width,), 0.0, BIAS_SPREAD)


def residual_gain(s):
    return 1 / math.sqrt(2 * s.layers)


def gpt2_tensors(s, _ids):
    yield from matrix("transformer.wte.weight", s.vocab, s.hidden)
    yield from matrix("transformer.wpe.weight", s.context, s.hidden)
    for i in range(s.layers):
        h = f"transformer.h.{i}."
        yield from norm(h + "ln_1", s.hidden)
        yield from linear(h + "attn.c_attn", 3 * s.hidden, s.hidden, gain=QKV_GAIN, turned=True)
        yield from linear(h + "attn.c_proj", s.hidden, s.hidden, gain=residual_gain(s), turned=True)
        yield from norm(h + "ln_2", s.hidden)
        yield from linear(h + "mlp.c_fc", s.inner, s.hidden, turned=True)
        yield from linear(h + "mlp.c_proj", s.hidden, s.inner, gain=residual_gain(s), turned=True)
    yield from norm("transformer.ln_f", s.hidden)
    if not s.tied:
        yield from matrix("lm_head.weight", s.vocab, s.hidden)


def roberta_tensors(s, ids):
    e = "roberta.embeddings."
    yield from matrix(e + "word_embeddings.weight", s.vocab, s.hidden)
    yield from matrix(e + "position_embeddings.weight", position_rows(s, ids), s.hidden)
    yield from matrix(e + "token_type_embeddings.weight", 1, s.hidden)
    yield from norm(e + "LayerNorm", s.hidden)
    for i in range(s.layers):
        yield from roberta_layer(s, f"roberta.encoder.layer.{i}.")
    yield from linear("lm_head.dense", s.hidden, s.hidden)
    yield from norm("lm_head.layer_norm", s.hidden)
    if not s.tied:
        yield from matrix("lm_head.decoder.weight", s.vocab, s.hidden)
    yield Tensor("lm_head.bias" if s.tied else "lm_head.decoder.bias", (s.vocab,), 0.0, BIAS_SPREAD)


def roberta_layer(s, prefix):
    for part in ["query", "key", "value"]:
        yield from linear(f"{prefix}attention.self.{part}", s.hidden, s.hidden, gain=QKV_GAIN)
    yield from linear(prefix + "attention.output.dense", s.hidden, s.hidden, gain=residual_gain(s))
    yield from norm(prefix + "attention.output.LayerNorm", s.hidden)
    yield from linear(prefix + "intermediate.dense", s.inner, s.hidden)
    yield from linear(prefix + "output.dense", s.hidden, s.inner, gain=residual_gain(s))
    yield from norm(prefix + "output.LayerNorm", s.hidden)


def mpt_tensors(s, _ids):
    yield from matrix("transformer.wte.weight", s.vocab, s.hidden)
    for i in range(s.layers):
        b = f"transformer.blocks.{i}."
        yield from norm(b + "norm_1", s.hidden, bias=False)
        yield from linear(b + "attn.Wqkv", 3 * s.hidden, s.hidden, bias=False, gain=QKV_GAIN)
        yield from linear(b + "attn.out_proj", s.hidden, s.hidden, bias=False, gain=residual_gain(s))
        yield from norm(b + "norm_2", s.hidden, bias=False)
        yield from linear(b + "ffn.up_proj", s.inner, s.hidden, bias=False)
        yield from linear(b + "ffn.down_proj", s.hidden, s.inner, bias=False, gain=residual_gain(s))
    yield from norm("transformer.norm_f", s.hidden, bias=False)
    if not s.tied:
        yield from matrix("lm_head.weight", s.vocab, s.hidden)


def falcon_tensors(s, _ids):
    yield from matrix("transformer.word_embeddings.weight", s.vocab, s.hidden)
    qkv = (s.heads + 2 * s.kv_heads) * (s.hidden // s.heads)
    for i in range(s.layers):
        h = f"transformer.h.{i}."
        for name in falcon_norms(s):
            yield from norm(h + name, s.hidden)
        yield from linear(h + "self_attention.query_key_value", qkv, s.hidden, s.bias, QKV_GAIN)
        yield from linear(h + "self_attention.dense", s.hidden, s.hidden, s.bias, residual_gain(s))
        yield from linear(h + "mlp.dense_h_to_4h", s.inner, s.hidden, s.bias)
        yield from linear(h + "mlp.dense_4h_to_h", s.hidden, s.inner, s.bias, residual_gain(s))
    yield from norm("transformer.ln_f", s.hidden)
    if not s.tied:
        yield from matrix("lm_head.weight", s.vocab, s.hidden)


def decoder_norms(s):
    """Names in a layer."""
    if s.family != "gemma3_text":
        return ["input_layernorm", "post_attention_layernorm"]
    return ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]


def decoder_tensors(s, _ids):
    def weight(name, width):
        yield Tensor(name + ".weight", (width,), 0.0 if s.family == "gemma3_text" else 1.0, NORM_SPREAD)

    yield from matrix("model.embed_tokens.weight", s.vocab, s.hidden)
    for i in range(s.layers):
        h = f"model.layers.{i}."
        for name in decoder_norms(s):
            yield from weight(h + name, s.hidden)
        for name, heads in ("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads):
            yield from linear(f"{h}self_attn.{name}_proj", heads * s.head_dim, s.hidden, bias=False, gain=QKV_GAIN)
        for name in ["q_norm", "k_norm"] if s.family != "llama" else []:
            yield from weight(f"{h}self_attn.{name}", s.head_dim)
        yield from linear(h + "self_attn.o_proj", s.hidden, s.heads * s.head_dim, bias=False, gain=residual_gain(s))
        yield from linear(h + "mlp.gate_proj", s.inner, s.hidden, bias=False)
        yield from linear(h + "mlp.up_proj", s.inner, s.hidden, bias=False)
        yield from linear(h + "mlp.down_proj", s.hidden, s.inner, bias=False, gain=residual_gain(s))
    yield from weight("model.norm", s.hidden)
    if not s.tied:
        yield from matrix("lm_head.weight", s.vocab, s.hidden)


def falcon_norms(s):
    if s.grouped:
        return ["ln_attn", "ln_mlp"]
    return ["input_layernorm"] if s.parallel else ["input_layernorm", "post_attention_layernorm"]


# --- config.json ------------------------------------------------------------------------------------------------------


def position_rows(s, ids):
    """RoBERTa's positions begin after the padding token's."""
    return s.context + ids["pad_token_id"] + 1


def gpt2_config(s, _ids):
    return {"architectures": ["GPT2LMHeadModel"], "n_layer": s.layers, "n_embd": s.hidden, "n_head": s.heads,
            "n_inner": s.inner, "n_positions": s.context, "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5}


def roberta_config(s, ids):
    return {"architectures": ["RobertaForMaskedLM"], "num_hidden_layers": s.layers, "hidden_size": s.hidden,
            "num_attention_heads": s.heads, "intermediate_size": s.inner,
            "max_position_embeddings": position_rows(s, ids), "type_vocab_size": 1, "hidden_act": "gelu",
            "layer_norm_eps": 1e-5}


def mpt_config(s, _ids):
    return {"architectures": ["MptForCausalLM"], "n_layers": s.layers, "d_model": s.hidden, "n_heads": s.heads,
            "expansion_ratio": s.inner // s.hidden, "max_seq_len": s.context, "no_bias": True,
            "layer_norm_epsilon": 1e-5, "attn_config": {"alibi": True, "alibi_bias_max": 8}}


def falcon_config(s, _ids):
    return {"architectures": ["FalconForCausalLM"], "num_hidden_layers": s.layers, "hidden_size": s.hidden,
            "num_attention_heads": s.heads, "num_kv_heads": s.kv_heads, "ffn_hidden_size": s.inner,
            "max_position_embeddings": s.context, "new_decoder_architecture": s.grouped,
            "multi_query": s.kv_heads == 1, "parallel_attn": s.parallel, "alibi": s.alibi, "bias": s.bias,
            "activation": "gelu", "layer_norm_epsilon": 1e-5,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}


def decoder_config(s, _ids):
    config = {"num_hidden_layers": s.layers, "hidden_size": s.hidden, "num_attention_heads": s.heads,
              "num_key_value_heads": s.kv_heads, "head_dim": s.head_dim, "intermediate_size": s.inner,
              "max_position_embeddings": s.context, "rms_norm_eps": 1e-6}
    if s.family != "gemma3_text":
        name = "LlamaForCausalLM" if s.family == "llama" else "Qwen3ForCausalLM"
        return config | {"architectures": [name], "hidden_act": "silu", "attention_bias": False,
                         "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    kinds = ["full_attention" if (i + 1) % GEMMA_FULL_EACH == 0 else "sliding_attention" for i in range(s.layers)]
    return config | {"architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh",
                     "query_pre_attn_scalar": s.head_dim, "sliding_window": GEMMA_WINDOW, "layer_types": kinds,
                     "rope_parameters": {"full_attention": {"rope_theta": 1e6, "rope_type": "default"},
                                         "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}}}


@dataclass(frozen=True)
class Family:
    tensors: object
    config: object
    ids: dict  # where no tokenizer says otherwise


FAMILIES = {
    "gpt2": Family(gpt2_tensors, gpt2_config, {"bos_token_id": 50256, "eos_token_id": 50256}),
    "roberta": Family(roberta_tensors, roberta_config, {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}),
    "mpt": Family(mpt_tensors, mpt_config, {"bos_token_id": 0, "eos_token_id": 0}),
    "falcon": Family(falcon_tensors, falcon_config, {"bos_token_id": 11, "eos_token_id": 11}),
} | {name: Family(decoder_tensors, decoder_config, {"bos_token_id": 1, "eos_token_id": 2}) for name in DECODERS}


def token_ids(s, tokenizer):
    ids = dict(FAMILIES[s.family].ids)
    beside = os.path.join(tokenizer, "config.json") if tokenizer else ""
    if os.path.exists(beside):
        config = read_json(beside)
        ids |= {k: config[k] for k in TOKEN_IDS if isinstance(config.get(k), int)}
    return {k: min(v, s.vocab - 1) for k, v in ids.items()}


def config_of(s, ids, dtype):
    common = {"model_type": s.family, "vocab_size": s.vocab, "tie_word_embeddings": s.tied, "use_cache": True,
              "dtype": DTYPES[dtype][1]}
    return FAMILIES[s.family].config(s, ids) | common | ids


# --- sizes that cannot be ---------------------------------------------------------------------------------------------


def completed(s):
    return replace(s, kv_heads=s.kv_heads or s.heads, inner=s.inner or 4 * s.hidden,
                   head_dim=s.head_dim or s.hidden // s.heads)


def check_shape(s):
    if s.hidden % s.heads and s.family not in DECODERS:
        raise Problem(f"--hidden {s.hidden} is not a multiple of --heads {s.heads}")
    if s.family not in {"falcon"} | DECODERS and s.kv_heads != s.heads:
        raise Problem(f"--kv-heads {s.kv_heads}: in {s.family} every one of the {s.heads} heads has its own")
    if s.heads % s.kv_heads:
        raise Problem(f"--kv-heads {s.kv_heads} does not divide --heads {s.heads}")
    if s.family == "mpt" and s.inner % s.hidden:
        raise Problem(f"--inner {s.inner} is not a multiple of --hidden {s.hidden}, as mpt's expansion_ratio needs")
    if s.family in {"falcon"} | DECODERS and not s.alibi and s.head_dim % 2:
        raise Problem(f"heads of size {s.head_dim}: rotary positions need an even size")
    if s.family == "falcon" and s.grouped and not s.parallel:
        raise Problem(f"--kv-heads {s.kv_heads}: sequential falcon has 1 or all {s.heads}; falcon-7b can have some")


def check_tokenizer(s, folder):
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.exists(path):
        raise Problem(f"{folder}: no tokenizer.json there")
    content = read_json(path)
    try:
        last = max([*content["model"]["vocab"].values(), *(t["id"] for t in content.get("added_tokens", []))])
    except (AttributeError, KeyError, TypeError) as e:
        raise Problem(f"{path}: not a byte-level BPE tokenizer") from e
    if last >= s.vocab:
        raise Problem(f"--vocab {s.vocab} is too small for {path}: its last token is {last}")


def check_space(folder, needed):
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Problem(f"{folder}: no space: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free")


# --- numbers ----------------------------------------------------------------------------------------------------------


class Weights:
    """Numbers of spread 1 by seed, tensor and chunk; see the text at the top."""

    def __init__(self, seed):
        self.seed = seed
        generator = np.random.Philox(seed)
        self.pool = np.empty(POOL + CHUNK, np.float32)  # the last chunk repeats the first: no slice goes around
        for at in range(0, POOL, CHUNK):
            uniform = generator.random_raw(CHUNK).view(np.uint16).reshape(CHUNK, 4)
            total = uniform[:, 0].astype(np.int32) + uniform[:, 1] + uniform[:, 2] + uniform[:, 3]
            self.pool[at:at + CHUNK] = total - 2 * 65535
        self.pool[:POOL] /= np.float32(65536 * math.sqrt(8 / 12))  # so that two of them have spread 1
        self.pool[POOL:] = self.pool[:CHUNK]
        self.sum = np.empty(CHUNK, np.float32)

    def chunk(self, tensor, number, size):
        digest = hashlib.blake2b(f"{self.seed} {tensor.name} {number}".encode(), digest_size=8).digest()
        a, b = (int.from_bytes(part, "little") % POOL for part in (digest[:4], digest[4:]))
        out = self.sum[:size]
        np.add(self.pool[a:a + size], self.pool[b:b + size], out=out)
        out *= np.float32(tensor.spread)
        if tensor.centre:
            out += np.float32(tensor.centre)
        return out


def as_bytes(values, dtype):
    if dtype == "fp32":
        return values.astype("<f4", copy=False)
    if dtype == "fp16":
        return values.astype("<f2")
    bits = values.view(np.uint32)  # to nearest, ties to even; there are no infinities or NaNs here
    odd = (bits >> 16) & 1
    odd += 0x7FFF
    odd += bits
    odd >>= 16
    return odd.astype("<u2")


# --- files ------------------------------------------------------------------------------------------------------------


class Progress:
    def __init__(self, total):
        self.total, self.done, self.start, self.shown = total, 0, time.monotonic(), 0.0

    def add(self, size):
        self.done += size
        now = time.monotonic()
        if sys.stderr.isatty() and (now - self.shown > 0.2 or self.done == self.total):
            self.shown = now
            rate = self.done / max(now - self.start, 1e-3) / 1e6
            end = "\n" if self.done == self.total else ""
            print(f"\r{self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB, {rate:.0f} MB/s ", end=end, file=sys.stderr,
                  flush=True)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except ValueError as e:
        raise Problem(f"{path}: not JSON: {e}") from e


def write_json(folder, name, content):
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as f:
        json.dump(content, f, indent=2, sort_keys=True)
        f.write("\n")


def shards_of(tensors, dtype, limit):
    """Lists of tensors, each within `limit` bytes if its first tensor is."""
    shards, room = [], 0
    for t in tensors:
        size = t.size * DTYPES[dtype][2]
        if not shards or size > room:
            shards.append([])
            room = limit
        shards[-1].append(t)
        room -= size
    return shards


def header_of(tensors, dtype):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for t in tensors:
        end = at + t.size * DTYPES[dtype][2]
        header[t.name] = {"dtype": DTYPES[dtype][0], "shape": list(t.dims), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_shard(path, tensors, dtype, weights, progress):
    with open(path, "wb") as f:
        f.write(header_of(tensors, dtype))
        for t in tensors:
            for number, at in enumerate(range(0, t.size, CHUNK)):
                data = as_bytes(weights.chunk(t, number, min(CHUNK, t.size - at)), dtype)
                f.write(data)
                progress.add(data.nbytes)


def write_weights(folder, tensors, args):
    total = sum(t.size for t in tensors) * DTYPES[args.dtype][2]
    shards = shards_of(tensors, args.dtype, int(args.shard_gb * 1e9))
    check_space(os.path.dirname(os.path.abspath(folder)), total)
    weights, progress, places = Weights(args.seed), Progress(total), {}
    for number, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_shard(os.path.join(folder, name), shard, args.dtype, weights, progress)
        places |= {t.name: name for t in shard}
    if len(shards) > 1:
        write_json(folder, "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return total


def write_folder(folder, shape, args):
    ids = token_ids(shape, args.tokenizer)
    write_json(folder, "config.json", config_of(shape, ids, args.dtype))
    write_json(folder, "generation_config.json", ids)
    for name in TOKENIZER_FILES if args.tokenizer else []:
        if os.path.exists(os.path.join(args.tokenizer, name)):
            shutil.copyfile(os.path.join(args.tokenizer, name), os.path.join(folder, name))
    tensors = list(FAMILIES[shape.family].tensors(shape, ids))
    return sum(t.size for t in tensors), write_weights(folder, tensors, args)


# --- GGUF -------------------------------------------------------------------------------------------------------------

GGUF_NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
              "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
              "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
GEMMA_NAMES = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
               "post_feedforward_layernorm": "post_ffw_norm"}
GGUF_TYPES = {"fp32": 0, "fp16": 1, "bf16": 30}
GGUF_FILE_TYPES = {"fp32": 0, "fp16": 1, "bf16": 32}
GGUF_ALIGNMENT = 32


def gguf_name(s, name):
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
               "lm_head.weight": "output.weight"}
    if name in outside:
        return outside[name]
    layer, inside = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    names = GGUF_NAMES | GEMMA_NAMES if s.family == "gemma3_text" else GGUF_NAMES
    return f"blk.{layer}.{names[inside]}.weight"


def gguf_keys(s, dtype):
    name = {"gemma3_text": "gemma3"}.get(s.family, s.family)
    keys = {"context_length": s.context, "embedding_length": s.hidden, "block_count": s.layers,
            "feed_forward_length": s.inner, "attention.head_count": s.heads, "attention.head_count_kv": s.kv_heads,
            "attention.key_length": s.head_dim, "attention.value_length": s.head_dim, "vocab_size": s.vocab,
            "rope.dimension_count": s.head_dim, "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6}
    if s.family == "gemma3_text":
        keys["attention.sliding_window"] = GEMMA_WINDOW
    return ({"general.architecture": name, "general.file_type": GGUF_FILE_TYPES[dtype],
             "tokenizer.ggml.model": "none"} | {f"{name}.{k}": v for k, v in keys.items()})


def gguf_text(text):
    return len(text).to_bytes(8, "little") + text.encode()


def gguf_header(s, tensors, dtype):
    keys = gguf_keys(s, dtype)
    out = b"GGUF" + (3).to_bytes(4, "little") + len(tensors).to_bytes(8, "little") + len(keys).to_bytes(8, "little")
    for key, value in keys.items():
        out += gguf_text(key)
        if isinstance(value, str):
            out += (8).to_bytes(4, "little") + gguf_text(value)
        elif isinstance(value, float):
            out += (6).to_bytes(4, "little") + np.float32(value).tobytes()
        else:
            out += (4).to_bytes(4, "little") + value.to_bytes(4, "little")
    at = 0
    for t in tensors:
        kind = gguf_dtype(t, dtype)
        out += gguf_text(gguf_name(s, t.name)) + len(t.dims).to_bytes(4, "little")
        out += b"".join(n.to_bytes(8, "little") for n in reversed(t.dims))
        out += GGUF_TYPES[kind].to_bytes(4, "little") + at.to_bytes(8, "little")
        at += padded(t.size * DTYPES[kind][2])
    return out + bytes(padded(len(out)) - len(out))


def gguf_dtype(tensor, dtype):
    return dtype if len(tensor.dims) > 1 else "fp32"


def padded(size):
    return -(-size // GGUF_ALIGNMENT) * GGUF_ALIGNMENT


def write_gguf(path, s, args):
    tensors = list(decoder_tensors(s, {}))
    weights, progress = Weights(args.seed), Progress(sum(t.size for t in tensors) * DTYPES[args.dtype][2])
    check_space(os.path.dirname(os.path.abspath(path)), progress.total)
    beside = f"{path}.partial-{os.getpid()}"
    try:
        with open(beside, "wb") as f:
            f.write(gguf_header(s, tensors, args.dtype))
            for t in tensors:
                kind, start = gguf_dtype(t, args.dtype), f.tell()
                for number, at in enumerate(range(0, t.size, CHUNK)):
                    data = as_bytes(weights.chunk(t, number, min(CHUNK, t.size - at)), kind)
                    f.write(data)
                    progress.add(data.nbytes)
                f.write(bytes(padded(f.tell() - start) - (f.tell() - start)))
        os.rename(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def write_beside(folder, shape, args):
    if os.path.lexists(folder):
        raise Problem(f"{folder}: exists already")
    if not os.path.isdir(os.path.dirname(os.path.abspath(folder))):
        raise Problem(f"{folder}: no such folder to write it into")
    beside = f"{folder}.partial-{os.getpid()}"
    os.mkdir(beside)
    try:
        written = write_folder(beside, shape, args)
        os.rename(beside, folder)
        return written
    finally:
        shutil.rmtree(beside, ignore_errors=True)


# --- the command line -------------------------------------------------------------------------------------------------


def count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def positive(text):
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument("folder", metavar="FOLDER", help="what to write; must not exist")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--seed", type=count, default=1)
    parser.add_argument("--tokenizer", metavar="DIR", help="copy this model's tokenizer (and its special token ids)")
    parser.add_argument("--gguf", metavar="FILE", help=f"write the same shape here, too: {', '.join(sorted(DECODERS))}")
    parser.add_argument("--shard-gb", type=positive, default=5.0, metavar="GB", help="largest file (default: 5)")
    sizes = parser.add_argument_group("sizes, instead of the preset's")
    for name in ["layers", "hidden", "heads", "kv-heads", "head-dim", "inner", "vocab", "context"]:
        sizes.add_argument(f"--{name}", type=count, metavar="N")
    sizes.add_argument("--tied", action=argparse.BooleanOptionalAction, help="is the output layer the embedding?")
    return parser.parse_args()


def shape_of(args):
    """Sizes that follow from others (--kv-heads from --heads, --inner from --hidden) do so again when those change."""
    names = ["layers", "hidden", "heads", "kv_heads", "head_dim", "inner", "vocab", "context", "tied"]
    given = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    shape = completed(replace(PRESETS[args.preset], **given))
    check_shape(shape)
    if args.gguf and shape.family not in DECODERS:
        raise Problem(f"--gguf: not for {shape.family}, only for {', '.join(sorted(DECODERS))}")
    if args.head_dim and shape.family not in DECODERS:
        raise Problem(f"--head-dim: in {shape.family} it is hidden / heads")
    if args.tokenizer:
        check_tokenizer(shape, args.tokenizer)
    return shape


def main():
    args = parse()
    folder = os.path.normpath(args.folder)
    try:
        shape = shape_of(args)
        parameters, size = write_beside(folder, shape, args)
        if args.gguf:
            write_gguf(args.gguf, shape, args)
    except Problem as e:
        sys.exit(f"make_synthetic: {e}")
    except OSError as e:
        reason = "no space" if e.errno == errno.ENOSPC else e.strerror
        sys.exit(f"make_synthetic: {e.filename or folder}: {reason}")
    print(f"{folder}: {parameters:,} parameters, {size / 1e9:.2f} GB of {args.dtype}")


if __name__ == "__main__":
    main()
