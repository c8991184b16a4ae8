#!/usr/bin/env python3
"""Record what bitsandbytes makes of weights, and what transformers computes with them, for the tests of 8 and 4 bits.

Usage:
    make_quant_goldens.py                                          everything, into tests/golden/quant
    make_quant_goldens.py --only encode --device cuda --output-dir D   bitsandbytes-cuda.safetensors alone
    make_quant_goldens.py --only models --name gpt2                the models whose name begins with gpt2
    make_quant_goldens.py --compare A.safetensors B.safetensors    where two encode files differ

encode needs torch, bitsandbytes and safetensors; models needs transformers and accelerate as well.

bitsandbytes-<device>.safetensors: tensors <case>/<what>. The file's metadata holds, under each case's name, its
parameters as JSON ("kind", then as said here), under "notes" where this device departs from the CUDA kernels, and under
"refused" the cases that bitsandbytes does not do on it:

kind "4bit"  {"quant_type", "blocksize", "nested", "offset": float.hex() or null, "dtype", "shape"}
    input             float32 | float16 | bfloat16, as quantised
    codes             uint8 [(n+1)/2, 1]; the first element of each pair in the high half
    absmax            float32 [blocks]; uint8 when nested
    nested_absmax     float32 [ceil(blocks/256)], nested_quant_map float32 [256]; when nested
    quant_map         float32 [16]
    decoded           dequantize_4bit, in the input's dtype and shape
    decoded_torch     the same by bitsandbytes' plain torch code, where its bits differ from `decoded`: on the CPU, see
                      (1) of the notes, this one is the right one
kind "dynamic8"  {"blocksize"}: quantize_blockwise with the signed dynamic map, as double quantisation uses it
    input float32 [n], codes uint8 [n], absmax float32 [blocks], quant_map float32 [256], decoded float32 [n]
kind "int8-weight"  {"dtype"}: bitsandbytes.nn.Int8Params
    input [out, in], codes int8 [out, in], scb float32 [out], decoded float32 [out, in]
kind "int8-activation"  {"threshold"}: int8_vectorwise_quant
    input float16 [rows, in], codes int8 [rows, in], row_stats float32 [rows], outlier_columns int64 [k]
kind "int8-product"  {"threshold", "dtype"}: Linear8bitLt run on input
    input [rows, in], weight int8 [out, in], scb float32 [out], bias [out], output [rows, out] in the input's dtype,
    accumulated int32 [rows, out], row_stats float32 [rows], outlier_columns int64 [k]

models/<name>/ is what save_pretrained writes, with expected.safetensors: ids int64 [n] and logits [n, vocab] float32
(float64 for _f64), see `expected_4bit` and `expected_8bit`.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import platform
import random
import shutil
import zlib
from functools import partial

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # the operations as written, nothing compiled on the way
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import bitsandbytes
import safetensors
import safetensors.torch
import torch
from bitsandbytes import functional as bnb
from bitsandbytes.backends.default import ops as default_ops

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
THRESHOLD = 6.0

# --- inputs -----------------------------------------------------------------------------------------------------------


def gaussian(shape, seed, scale=1.0):
    """About Gaussian, and the same on every machine: sums of uniform numbers, exact in float64."""
    rng = random.Random(seed)
    values = [(sum(rng.random() for _ in range(12)) - 6) * scale for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


def seed_of(name):
    return zlib.crc32(name.encode())


def step(x, ulps):
    """x moved by so many float32 steps away from zero."""
    return (x.view(torch.int32) + ulps).view(torch.float32)


# The magnitudes at which the CUDA kernel's tree for FP4 switches, as printed there; some are not the exact midpoints.
FP4_PRINTED = [0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333]


def midpoints(quant_type):
    codes = bnb.get_4bit_type(quant_type, device="cpu").double().unique()
    exact = ((codes[1:] + codes[:-1]) / 2).abs().float()
    exact = torch.cat([exact, torch.tensor(FP4_PRINTED if quant_type == "fp4" else [])])
    return exact[exact > 0].unique()


def in_blocks(values, absmax, blocksize):
    """values, with absmax as the first of each block; zeros fill the last block."""
    room = blocksize - 1
    values = torch.cat([values, torch.zeros(-len(values) % room)])
    firsts = torch.full((len(values) // room, 1), absmax)
    return torch.cat([firsts, values.reshape(-1, room)], 1)


def ties(quant_type, absmax):
    """Values that become each midpoint after scaling, or nearly so: steps of -2 to 2, both signs."""
    at = midpoints(quant_type) * absmax
    at = torch.stack([step(at, k) for k in (-2, -1, 0, 1, 2)]).flatten()
    return in_blocks(torch.cat([at, -at]), absmax, 64)


def tie_tail(quant_type, absmax):
    """One row that is shorter than a block: absmax and the ties below it."""
    at = midpoints(quant_type) * absmax
    return torch.cat([torch.tensor([absmax]), at, -at])[:63]


def negative_zeros():
    blocks = torch.full((2, 64), -0.0)
    blocks[0, 5], blocks[0, 6] = 1.5, -0.7
    return blocks


def tiny(absmax):
    """A block whose largest value is absmax, with simple fractions of it."""
    parts = torch.tensor([1, -1, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75, 0.1, -0.1, 0, -0.0])
    return (parts.double() * absmax).float().repeat(6)[:64].reshape(1, 64)


def one_nonzero():
    x = torch.zeros(4, 64)
    x[0, 0], x[1, 63], x[2, 17], x[3, 31] = 1.0, -2.5, -1e-3, 7.25
    return x


def nested_input(blocks, blocksize, seed):
    """Blocks of very different absmax, so that the statistics use the whole dynamic map."""
    scales = torch.pow(2.0, gaussian((blocks, 1), seed + 1, 1.5))
    return gaussian((blocks, blocksize), seed) * scales


def four_bit_inputs(quant_type):
    """(name, input, blocksize, nested)"""
    for dtype, (shape, blocksize) in itertools.product(DTYPES, [((6, 96), 64), ((4, 64), 64), ((3, 70), 64),
                                                                ((1, 1), 64), ((7, 48), 32)]):
        name = f"gaussian-{shape[0]}x{shape[1]}-block{blocksize}-{dtype}"
        yield name, gaussian(shape, seed_of(name)).to(DTYPES[dtype]), blocksize, False
    for dtype, shape, blocksize in [("float32", (130,), 64), ("float32", (5, 257), 64), ("float32", (3, 70), 128),
                                    ("bfloat16", (5, 100), 256), ("bfloat16", (4, 200), 512),
                                    ("bfloat16", (3, 500), 1024), ("float16", (3, 1000), 2048),
                                    ("float16", (3, 1500), 4096)]:
        name = f"gaussian-{'x'.join(map(str, shape))}-block{blocksize}-{dtype}"
        yield name, gaussian(shape, seed_of(name)).to(DTYPES[dtype]), blocksize, False
    for absmax in (1.0, 2.0, 0.375, 3.0, 0.7):
        yield f"ties-absmax{absmax}", ties(quant_type, absmax), 64, False
        yield f"ties-tail-absmax{absmax}", tie_tail(quant_type, absmax), 64, False
    for dtype in ("float16", "bfloat16"):
        yield f"ties-{dtype}", ties(quant_type, 1.0).to(DTYPES[dtype]), 64, False
    yield "zeros", torch.zeros(2, 64), 64, False
    yield "zeros-tail", torch.zeros(1, 70), 64, False
    yield "zero-block-between", torch.cat([gaussian((1, 64), 1), torch.zeros(1, 64), gaussian((1, 64), 2)]), 64, False
    yield "zero-tail-after", torch.cat([gaussian((64,), 3), torch.zeros(7)]), 64, False
    yield "negative-zeros", negative_zeros(), 64, False
    for absmax in (1e-30, 2e-38, 1e-38, 3e-39, 1e-42, 1.4e-45, 3e38):
        yield f"absmax{absmax:g}", tiny(absmax), 64, False
    yield "absmax65504-float16", tiny(65504).half(), 64, False
    yield "absmax6e-8-float16", tiny(6e-8).half(), 64, False
    yield "absmax1e-40-bfloat16", tiny(1e-40).bfloat16(), 64, False
    yield "one-nonzero", one_nonzero(), 64, False
    blocks = 600 if quant_type == "nf4" else 300
    yield f"nested-{blocks}-blocks", nested_input(blocks, 32, 11).to(torch.bfloat16), 32, True
    yield "nested-3-blocks", gaussian((3, 64), 12), 64, True
    yield "nested-tail", gaussian((3, 70), 13).half(), 64, True
    yield "nested-equal-blocks", torch.ones(4, 64), 64, True
    yield "nested-with-zero-blocks", torch.cat([gaussian((3, 64), 14), torch.zeros(2, 64)]), 64, True


def dynamic_inputs():
    """(name, float32 [n])"""
    codes = bnb.create_dynamic_map().double()
    mids = ((codes[1:] + codes[:-1]) / 2).float()
    near = torch.cat([step(mids, k) for k in (-1, 0, 1)])
    wide = torch.cat([mids * (1 + s * 10.0 ** -e) for e in (3, 4) for s in (1, -1)])
    for absmax in (1.0, 0.375, 3.0):
        yield f"dynamic-ties-absmax{absmax}", in_blocks(near * absmax, absmax, 256).flatten()
    yield "dynamic-near-ties", in_blocks(wide, 1.0, 256).flatten()
    yield "dynamic-gaussian", gaussian((600,), 21)
    yield "dynamic-codes", in_blocks(codes.float(), 1.0, 256).flatten()
    yield "dynamic-zeros", torch.zeros(300)
    yield "dynamic-tiny", tiny(1e-42).flatten()


def int8_tie_rows():
    """Rows of (k + 0.5) / 127 x absmax; with 127, 254 and 63.5 exact in float16."""
    halves = (torch.arange(127) + 0.5) / 127
    halves = torch.cat([torch.ones(1), halves, -halves])
    return torch.stack([halves * a for a in (127.0, 63.5, 1.0, 0.7, 3.0)])


def int8_weights():
    yield "ties", int8_tie_rows()
    yield "gaussian", gaussian((5, 96), 31)
    x = gaussian((4, 37), 32)
    x[1], x[3, 5:] = 0, 0
    yield "zero-row", x
    yield "small", gaussian((3, 40), 33, 1e-6)
    yield "one-column", torch.tensor([[1.5], [-0.25], [0.0]])
    yield "between-float16", 1 + torch.arange(96).reshape(2, 48) * 2.0 ** -14


def int8_activations():
    """(name, float16 [rows, in])"""
    x = gaussian((7, 64), 41, 1.5).clamp(-5.9, 5.9)
    yield "no-outliers", x
    x = x.clone()
    x[1, 3], x[4, 3], x[4, 40], x[6, 63] = 6.0, -7.5, 60.0, -6.0
    x[2, 10], x[5, 40] = 5.996, 5.5  # just below; an ordinary value in an outlier column
    yield "outliers", x
    yield "one-row-outliers", x[4:5]
    only = torch.zeros(3, 16)
    only[0], only[2, 4] = 8.0, 0.5
    yield "rows-of-outliers-and-zeros", only
    yield "ties", int8_tie_rows()[2:] * torch.tensor([[1.0], [1.0], [1.9]])


# --- encode -----------------------------------------------------------------------------------------------------------


def torch_dequantise(codes, absmax, blocksize, quant_type, shape, dtype):
    """bitsandbytes' plain torch code for the operation dequantize_4bit."""
    code = bnb.get_4bit_type(quant_type, device=codes.device)
    codes = codes.view(torch.uint8).reshape(-1)
    return default_ops._dequantize_4bit_compute(codes, absmax, code, blocksize, shape, dtype)


def use_torch_dequantise():
    """In place of the compiled CPU version, which is wrong where blocks cross rows; for the rest of this process."""
    library = torch.library.Library("bitsandbytes", "IMPL")
    library.impl("dequantize_4bit", torch_dequantise, "CPU", allow_override=True)
    return library  # it is in force as long as it lives


def decoded_torch(codes, state, shape):
    absmax = state.absmax
    if state.nested:
        absmax = bnb.dequantize_blockwise(absmax, state.state2) + state.offset
    return torch_dequantise(codes, absmax, state.blocksize, state.quant_type, shape, state.dtype).reshape(shape)


def four_bit(x, blocksize, nested, quant_type):
    codes, state = bnb.quantize_4bit(x, blocksize=blocksize, compress_statistics=nested, quant_type=quant_type)
    tensors = {"input": x, "codes": codes, "absmax": state.absmax, "quant_map": state.code,
               "decoded": bnb.dequantize_4bit(codes, state).reshape(x.shape)}
    other = decoded_torch(codes, state, x.shape)
    if not same(other, tensors["decoded"]):
        tensors["decoded_torch"] = other
    if nested:
        tensors |= {"nested_absmax": state.state2.absmax, "nested_quant_map": state.state2.code}
    offset = state.offset.item().hex() if nested else None
    return tensors, {"kind": "4bit", "quant_type": quant_type, "blocksize": blocksize, "nested": nested,
                     "offset": offset, "dtype": str(x.dtype).removeprefix("torch."), "shape": list(x.shape)}


def dynamic8(x):
    codes, state = bnb.quantize_blockwise(x, blocksize=256)
    return {"input": x, "codes": codes, "absmax": state.absmax, "quant_map": state.code,
            "decoded": bnb.dequantize_blockwise(codes, state)}, {"kind": "dynamic8", "blocksize": 256}


def int8_weight(x, device):
    param = bitsandbytes.nn.Int8Params(x.clone(), requires_grad=False).to(device)
    return {"input": x, "codes": param.data, "scb": param.SCB,
            "decoded": bnb.int8_vectorwise_dequant(param.data, param.SCB)}, {
        "kind": "int8-weight", "dtype": str(x.dtype).removeprefix("torch.")}


def int8_activation(x):
    codes, row_stats, columns = bnb.int8_vectorwise_quant(x.clone(), threshold=THRESHOLD)
    return {"input": x, "codes": codes, "row_stats": row_stats,
            "outlier_columns": columns.long()}, {"kind": "int8-activation", "threshold": THRESHOLD}


@torch.no_grad()
def int8_product(x, device):
    layer = bitsandbytes.nn.Linear8bitLt(x.shape[1], 24, bias=True, has_fp16_weights=False, threshold=THRESHOLD)
    bias = gaussian((24,), 52).to(x.dtype).to(device)
    layer.weight = bitsandbytes.nn.Int8Params(gaussian((24, x.shape[1]), 51, 0.3), requires_grad=False).to(device)
    layer.bias = torch.nn.Parameter(bias, requires_grad=False)
    layer.eval()
    codes, row_stats, columns = bnb.int8_vectorwise_quant(x.half().clone(), threshold=THRESHOLD)
    weight, scb = layer.weight.data.clone(), layer.weight.SCB.clone()
    tensors = {"input": x.clone(), "weight": weight, "scb": scb, "bias": bias, "row_stats": row_stats,
               "outlier_columns": columns.long(), "accumulated": bnb.int8_linear_matmul(codes, weight),
               "output": layer(x.clone())}
    return tensors, {"kind": "int8-product", "threshold": THRESHOLD, "dtype": str(x.dtype).removeprefix("torch.")}


def encoded(device):
    """(case, function that gives tensors and parameters)"""
    for quant_type in ("nf4", "fp4"):
        for name, x, blocksize, nested in four_bit_inputs(quant_type):
            yield f"{quant_type}-{name}", partial(four_bit, x.to(device), blocksize, nested, quant_type)
    for name, x in dynamic_inputs():
        yield name, partial(dynamic8, x.to(device))
    for (name, x), dtype in itertools.product(int8_weights(), DTYPES):
        yield f"int8-weight-{name}-{dtype}", partial(int8_weight, x.to(DTYPES[dtype]), device)
    beyond = torch.tensor([[70000.0, 1.0, -2.0], [65519.0, 1.0, -2.0]])
    yield "int8-weight-beyond-float16", partial(int8_weight, beyond, device)
    for name, x in int8_activations():
        yield f"int8-activation-{name}", partial(int8_activation, x.half().to(device))
    for (name, x), dtype in itertools.product(int8_activations(), DTYPES):
        if name not in ("rows-of-outliers-and-zeros", "ties"):
            yield f"int8-product-{name}-{dtype}", partial(int8_product, x.to(DTYPES[dtype]).to(device), device)


CPU_NOTES = """quantize_4bit has no compiled CPU version: plain torch makes these codes. Against the CUDA kernels:
(1) decoded is WRONG from the second row on where in-features are a multiple of 16 and not of blocksize: the compiled
dequantize_4bit (AVX512) takes the wrong block's absmax once blocks cross rows; decoded_torch is right;
(2) a whole block of zeros has absmax 0 and NF4 code 7; CUDA's normalised value there is NaN and its code 0;
(3) the last block, when it is short, divides by absmax where whole blocks multiply by the reciprocal; its absmax is
at least 1e-38, also when it is all zero; (4) absmax below 1e-38 in whole blocks: scaled by 1e38 and no more, while the
absmax that is stored is the true one, so codes come out too small; (5) FP4: each tie takes the lower value, which for
negative ones is the larger magnitude (CUDA: the smaller); a magnitude that rounds to zero has code 0 or 8 by its sign
the other way round: 0 for zero and negative values, 8 for positive ones, and decodes to +0 or -0; thresholds are the
midpoints of the table in float32, one or a few steps from those that CUDA prints; (6) the half byte after an odd
number of elements is the code of zero: NF4 7, FP4 0; (7) double quantisation: compiled code with a table of 65,536
even steps over [-1, 1], so that codes near ties differ, and below 1e-4 of the nested absmax by up to 4 codes: 0 becomes
code 131 (2.1e-05), not 127; a whole block of zeros becomes code 0; (8) int8: the product's constant is 6.200124e-05 where CUDA has 6.200012e-05 (1/16129);
for float32 and bfloat16 inputs the output is rounded to that dtype and never to float16."""


def versions(device):
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    capability = torch.backends.cpu.get_cpu_capability() if device == "cpu" else torch.version.cuda
    return {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__, "device": device,
            "device_name": name, "capability": capability, "made_by": "tools/make_quant_goldens.py"}


def make_encoded(device, output_dir):
    tensors, metadata = {}, versions(device)
    metadata["notes"] = " ".join(CPU_NOTES.split()) if device == "cpu" else "the CUDA kernels"
    refused = {}
    for case, make in encoded(device):
        try:
            found, parameters = make()
        except (RuntimeError, ValueError, NotImplementedError) as error:
            print(f"{case}: REFUSED, {error}", flush=True)
            refused[case] = str(error)
            continue
        tensors |= {f"{case}/{what}": t.detach().cpu().contiguous().clone() for what, t in found.items()}
        metadata[case] = json.dumps(parameters)
    metadata |= {"refused": json.dumps(refused)} if refused else {}
    path = os.path.join(output_dir, f"bitsandbytes-{device}.safetensors")
    safetensors.torch.save_file(dict(sorted(tensors.items())), path, metadata=metadata)
    print(f"{path}: {len({name.split('/')[0] for name in tensors})} cases, {len(tensors)} tensors, "
          f"{os.path.getsize(path) / 1024:.0f} KiB", flush=True)
    return versions(device)


def same(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(bits), b.contiguous().view(bits))


def compare(first, second):
    a, b = (safetensors.torch.load_file(p) for p in (first, second))
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b or a[name].shape != b[name].shape:
            print(f"{name}: only in one, or of another shape")
        elif not same(a[name], b[name]):
            at = torch.nonzero((a[name] != b[name]).flatten()).flatten()
            shown = [(i, a[name].flatten()[i].item(), b[name].flatten()[i].item()) for i in at[:4].tolist()]
            print(f"{name}: {len(at)} of {a[name].numel()} differ (0: in sign of zero or NaN alone); {shown}")


# --- models -----------------------------------------------------------------------------------------------------------


def quant_cases():
    """(case of golden_cases.py, options of BitsAndBytesConfig); the hidden sizes: 64, 96 = 3 x 32, 60 and 72."""
    from golden_cases import falcon, gpt2, mpt, roberta
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    fp4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}
    nested, int8 = {"bnb_4bit_use_double_quant": True}, {"load_in_8bit": True}
    stored = lambda dtype: {"bnb_4bit_quant_storage": dtype}
    decoder = dict(is_decoder=True, num_attention_heads=4, num_hidden_layers=1)
    head = {"llm_int8_skip_modules": []}  # the output layer, too
    own_head = dict(tie_word_embeddings=False, vocab_size=64)
    return [
        (gpt2("gpt2-head-nf4-nested", 24, n_embd=64, n_head=4, n_layer=1, **own_head), nf4 | nested | head),
        (gpt2("gpt2-head-int8", 24, n_embd=64, n_head=4, n_layer=1, **own_head), int8 | head),
        (mpt("mpt-head-fp4", 24, d_model=96, n_heads=6, n_layers=1, **own_head), fp4 | head),
        (gpt2("gpt2-nf4", 24, n_embd=64, n_head=4, n_inner=192), nf4),
        (gpt2("gpt2-nf4-nested", 24, n_embd=72, n_head=3, n_layer=1), nf4 | nested),
        (gpt2("gpt2-fp4-float16", 24, n_embd=60, n_head=5, n_layer=1, store="float16"), fp4),
        (gpt2("gpt2-int8", 24, n_embd=64, n_head=4, n_inner=80), int8),
        (mpt("mpt-nf4-nested-storage-bfloat16", 24, d_model=60, n_heads=5, n_layers=1, store="bfloat16"),
         nf4 | nested | stored("bfloat16")),
        (mpt("mpt-fp4", 24, d_model=96, n_heads=6, n_layers=1), fp4),
        (mpt("mpt-int8", 24, d_model=60, n_heads=5, n_layers=1), int8),
        (falcon("falcon-nf4-storage-float16", 24, hidden_size=64, num_attention_heads=4), nf4 | stored("float16")),
        (falcon("falcon-nf4-storage-float32", 24, hidden_size=96, num_attention_heads=4, num_hidden_layers=1),
         nf4 | stored("float32")),
        (falcon("falcon-fp4-nested-float16", 24, hidden_size=72, num_attention_heads=3, store="float16",
                num_hidden_layers=1),
         fp4 | nested | stored("float16")),
        (falcon("falcon-40b-shape-nf4", 24, hidden_size=64, num_attention_heads=8, num_kv_heads=2,
                new_decoder_architecture=True, ffn_hidden_size=160), nf4),
        (falcon("falcon-int8", 24, hidden_size=64, num_attention_heads=4, ffn_hidden_size=96), int8),
        (roberta("roberta-nf4", 24, hidden_size=64, num_attention_heads=4, intermediate_size=80), nf4),
        (roberta("roberta-fp4-nested", 24, hidden_size=72, intermediate_size=150, num_attention_heads=4,
                 num_hidden_layers=1), fp4 | nested),
        (roberta("roberta-decoder-int8", 24, hidden_size=60, intermediate_size=90, **decoder), int8),
    ]


@torch.no_grad()
def with_outliers(model):
    """Three weights of each norm inside the layers times 4: some rows' activations reach 6 there."""
    for name, p in model.named_parameters():
        if p.dim() == 1 and name.endswith("weight") and any(f".{i}." in name for i in range(8)):
            p[[2, 11, 37]] *= 4


def is_quantised(module):
    return isinstance(module, (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt))


def load_quantised(folder, family, dtype, **more):
    """With bitsandbytes' own float32 path, and Falcon's layers quantised as well: see CPU_MODEL_NOTES."""
    import golden_families
    from transformers.models.falcon import modeling_falcon
    with golden_families.replaced(modeling_falcon, "FalconLinear", torch.nn.Linear):
        model = golden_families.FAMILIES[family].model.from_pretrained(
            folder, dtype=dtype, device_map={"": "cpu"}, attn_implementation="eager", **more).eval()
    assert any(is_quantised(m) for m in model.modules()), folder
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
        for key, p in module.named_parameters(recurse=False):
            if not (is_quantised(module) and key == "weight"):
                p.data = p.data.to(dtype)
    return model


def quantise(case, options, plain_folder, folder):
    import transformers
    config = transformers.BitsAndBytesConfig(**options)
    load_quantised(plain_folder, case.family, DTYPES[case.store], quantization_config=config).save_pretrained(folder)


def weight_of(module, wide):
    """The float weight [out, in] that a quantised layer stands for: rounded to the stored dtype, or `wide`, float32."""
    if isinstance(module, bitsandbytes.nn.Linear8bitLt):
        scb = module.weight.SCB if module.weight.SCB is not None else module.state.SCB
        return module.weight.data.double() * scb.double()[:, None] / 127
    state = module.weight.quant_state
    if wide:
        stored, state.dtype = state.dtype, torch.float32
        try:
            return bnb.dequantize_4bit(module.weight.data, state)
        finally:
            state.dtype = stored
    return bnb.dequantize_4bit(module.weight.data, state)


@torch.no_grad()
def dequantised(quantised, case, wide=False):
    """A plain model in float64 with the weights that the quantised one stands for."""
    import golden_families
    family = golden_families.FAMILIES[case.family]
    config = family.model.config_class(**case.config)
    config._attn_implementation = "eager"
    plain = family.model(config).eval().double()
    for name, module in plain.named_modules():
        source = quantised.get_submodule(name) if name else quantised
        if is_quantised(source):
            weight = weight_of(source, wide).double()
            module.weight.copy_(weight.T if type(module).__name__ == "Conv1D" else weight)
            if source.bias is not None:
                module.bias.copy_(source.bias.double())
        else:
            for key, p in module.named_parameters(recurse=False):
                p.copy_(source.get_parameter(key).double())
    return plain


@torch.no_grad()
def logits_at_once(model, ids):
    return model(input_ids=ids[None], use_cache=False).logits[0]


@torch.no_grad()
def logits_by_rows(model, ids):
    past, rows = None, []
    for i in range(len(ids)):
        out = model(input_ids=ids[None, i:i + 1], past_key_values=past, use_cache=True)
        past = out.past_key_values
        rows.append(out.logits[0, 0])
    return torch.stack(rows)


def double_logits(plain, ids):
    import golden_families
    with golden_families.in_double(plain):
        return logits_at_once(plain, ids)


def expected_4bit(case, folder, ids):
    """
    logits           the quantised model, everything else in float32, whole text at once; here bitsandbytes widens
                     codes x absmax to float32 and does not round to the stored dtype on the way
    logits_f64       a plain model in float64 with the weights of dequantize_4bit, rounded to the stored dtype
    logits_f64_wide  the same, weights codes x absmax in float32; absent where the stored dtype is float32
    logits_f16       the model of logits_f64 run in float16 throughout
    """
    quantised = load_quantised(folder, case.family, torch.float32)
    tensors = {"ids": ids, "logits": logits_at_once(quantised, ids)}
    tensors["logits_f64"] = double_logits(dequantised(quantised, case), ids)
    if case.store != "float32":
        tensors["logits_f64_wide"] = double_logits(dequantised(quantised, case, wide=True), ids)
    tensors["logits_f16"] = logits_at_once(dequantised(quantised, case).half(), ids).float()
    return tensors, {}


class Outliers:
    """How many columns each int8 layer took out of each call."""

    def __init__(self, model):
        self.taken = {}
        for name, module in model.named_modules():
            if isinstance(module, bitsandbytes.nn.Linear8bitLt):
                module.register_forward_hook(lambda m, _i, _o, name=name: self.look(name, m.state.idx))

    def look(self, name, columns):
        self.taken.setdefault(name, []).append(len(columns))

    def sums(self):
        return {name: sum(counts) for name, counts in self.taken.items()}


def nudged(model, ids):
    """logits at once, with a little noise on the input of each int8 layer."""
    def nudge(_module, inputs):
        noise = gaussian(inputs[0].shape, 61, 1e-6)
        return (inputs[0] * (1 + noise), *inputs[1:])

    for module in model.modules():
        if is_quantised(module):
            module.register_forward_pre_hook(nudge)
    return logits_at_once(model, ids)


def expected_8bit(case, folder, ids):
    """
    logits_call logits_call_f16   the whole text in one call; other weights in float32, in float16
    logits_rows logits_rows_f16   token by token with the past, each call one row; causal models only
    logits_f64                    float64, weights CB x SCB / 127 exactly and no activation quantised
    """
    tensors, remarks = {"ids": ids}, {}
    for dtype, suffix in ((torch.float32, ""), (torch.float16, "_f16")):
        kinds = [("call", logits_at_once)]
        if case.family != "roberta" or case.config["is_decoder"]:
            kinds.append(("rows", logits_by_rows))
        for kind, run in kinds:
            model = load_quantised(folder, case.family, dtype)
            outliers = Outliers(model)
            tensors[f"logits_{kind}{suffix}"] = run(model, ids).float()
            remarks[f"outlier_columns_{kind}{suffix}"] = outliers.sums()
    change = nudged(load_quantised(folder, case.family, torch.float32), ids) - tensors["logits_call"]
    remarks["nudged"] = float(f"{change.abs().max().item():.2g}")
    tensors["logits_f64"] = double_logits(dequantised(load_quantised(folder, case.family, torch.float32), case), ids)
    return tensors, remarks


CPU_MODEL_NOTES = """4-bit layers: where the processor has AVX512-BF16, bitsandbytes repacks each weight at the first
forward, computes in bfloat16 whatever the compute dtype, and asserts that out-features are a multiple of 32. These
logits were made with that path switched off (support_avx512bf16_for_cpu = False), and with bitsandbytes' plain torch
dequantize_4bit, since the compiled one is wrong where blocks cross rows (in-features a multiple of 16, not of the
block). Falcon: transformers 5 quantises nothing of it, since its layers are a subclass FalconLinear and only nn.Linear
itself is replaced; these checkpoints were made with FalconLinear replaced by nn.Linear, which gives the names that
transformers 4 wrote. Tensors that are not quantised were cast to float32 (or float16) by hand after loading:
transformers 5 leaves some in the stored dtype. nudged: the largest change of logits_call when the input of each int8
layer is multiplied by 1 + 1e-6 x noise: what a correct implementation may differ by, since codes flip."""


def make_model(case, options, folder):
    import golden_families
    import make_goldens
    plain_folder = folder + ".plain"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        family = golden_families.FAMILIES[case.family]
        model = family.build(family.model.config_class(**case.config)).eval()
        make_goldens.randomize(model, case.seed, case.qk_gain)
        if "load_in_8bit" in options:
            with_outliers(model)
        model.to(DTYPES[case.store]).save_pretrained(plain_folder)
        quantise(case, options, plain_folder, folder)
    finally:
        shutil.rmtree(plain_folder, ignore_errors=True)
    ids = make_goldens.random_ids(case, 0)
    expected = expected_8bit if "load_in_8bit" in options else expected_4bit
    tensors, remarks = expected(case, folder, ids)
    tensors = {name: t.detach().contiguous().clone() for name, t in sorted(tensors.items())}
    make_goldens.tidy(folder)
    record = {"weights_seed": case.seed, "qk_gain": case.qk_gain, "stored_as": case.store, "options": options} | remarks
    record["differences"] = {
        name: float(f"{(t.double() - tensors['logits_f64']).abs().max().item():.2g}")
        for name, t in tensors.items() if name.startswith("logits") and name != "logits_f64"}
    metadata = {k: v if isinstance(v, str) else json.dumps(v) for k, v in record.items()}
    safetensors.torch.save_file(tensors, os.path.join(folder, "expected.safetensors"), metadata=metadata)
    os.chmod(os.path.join(folder, "expected.safetensors"), 0o644)
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{case.name:34} {size / 1024:4.0f} KiB  from logits_f64: {record['differences']}", flush=True)
    for kind, counts in remarks.items():
        print(f"{'':34} {kind}: {sum(counts.values()) if isinstance(counts, dict) else counts}", flush=True)
    return record


def make_models(output_dir, begins):
    import transformers
    transformers.utils.logging.disable_progress_bar()
    library, records = use_torch_dequantise(), {}
    for case, options in quant_cases():
        case.seed = seed_of(case.name) % 1_000_000
        if case.name.startswith(begins):
            records[case.name] = make_model(case, options, os.path.join(output_dir, "models", case.name))
    del library
    return records, {"transformers": transformers.__version__, "notes": " ".join(CPU_MODEL_NOTES.split())}


# --- all --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def provenance(output_dir):
    """provenance.json, as it is, to be added to."""
    path = os.path.join(output_dir, "provenance.json")
    record = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            record = json.load(f)
    yield record
    with open(path, "w", encoding="utf-8") as f:
        json.dump(record, f, indent=2, sort_keys=True)
        f.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="tests/golden/quant")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="for encode")
    parser.add_argument("--only", choices=["encode", "models"])
    parser.add_argument("--name", default="", help="only the models whose name begins so")
    parser.add_argument("--compare", nargs=2, metavar="FILE")
    args = parser.parse_args()
    if args.compare:
        compare(*args.compare)
        return
    torch.set_num_threads(1)  # one order of summation
    os.makedirs(args.output_dir, exist_ok=True)
    with provenance(args.output_dir) as record:
        if args.only != "models":
            record[f"encode-{args.device}"] = make_encoded(args.device, args.output_dir)
        if args.only != "encode":
            records, more = make_models(args.output_dir, args.name)
            record["models"] = record.get("models", {}) | records
            record["models_made_with"] = versions("cpu") | more


if __name__ == "__main__":
    main()
