#!/usr/bin/env python3
"""Run a quantised checkpoint with transformers and bitsandbytes on the CPU, to see that they read what was written.

Usage:
    load_with_bitsandbytes.py FOLDER --ids 1,2,3
    load_with_bitsandbytes.py FOLDER --ids 1,2,3 --against logits.safetensors    as `pkv logits --output-file` writes it
    load_with_bitsandbytes.py FOLDER --against logits.safetensors                the ids are taken from that file
    load_with_bitsandbytes.py FOLDER --against logits.json                       {"ids": [...], "logits": [[...]]}
    load_with_bitsandbytes.py FOLDER --ids 1,2,3 --save-dequantised OUT          a plain float32 checkpoint as well

Prints which layers were loaded as quantised, the logits' statistics and, with --against, the largest absolute
difference and the mean KL divergence of the next token's distribution. Ends with 1 where a layer that config.json does
not skip is not quantised, where tensors are missing or left over, or where --most or --most-kl is exceeded.

Three things are done to the libraries: bitsandbytes' compiled dequantize_4bit for the CPU is replaced by its plain
torch code, since it is wrong where blocks cross rows (--compiled-dequantise keeps it); its bfloat16 path on processors
with AVX512-BF16 is switched off, since it ignores the compute dtype (--bfloat16-path keeps it); and Falcon's
FalconLinear is replaced by nn.Linear, without which transformers 5 quantises nothing of a Falcon (--falcon-linear keeps
it).
"""

import argparse
import contextlib
import json
import os
import sys

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import bitsandbytes
import safetensors.torch
import torch
import transformers
from bitsandbytes import functional as bnb
from bitsandbytes.backends.default import ops as default_ops
from transformers.models.falcon import modeling_falcon

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LAYERS = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)


def torch_dequantise(codes, absmax, blocksize, quant_type, shape, dtype):
    code = bnb.get_4bit_type(quant_type, device=codes.device)
    codes = codes.view(torch.uint8).reshape(-1)
    return default_ops._dequantize_4bit_compute(codes, absmax, code, blocksize, shape, dtype)


def use_torch_dequantise():
    library = torch.library.Library("bitsandbytes", "IMPL")
    library.impl("dequantize_4bit", torch_dequantise, "CPU", allow_override=True)
    return library  # it is in force as long as it lives


@contextlib.contextmanager
def plain_falcon_layers(active):
    before = modeling_falcon.FalconLinear
    if active:
        modeling_falcon.FalconLinear = torch.nn.Linear
    try:
        yield
    finally:
        modeling_falcon.FalconLinear = before


def class_of(folder):
    """As config.json says, but always one that gives logits for each token."""
    config = transformers.AutoConfig.from_pretrained(folder)
    return {"roberta": transformers.RobertaForCausalLM}.get(config.model_type, transformers.AutoModelForCausalLM)


def load(folder, dtype, args):
    with plain_falcon_layers(not args.falcon_linear):
        model, report = class_of(folder).from_pretrained(
            folder, dtype=dtype, device_map={"": "cpu"}, attn_implementation=args.attention, output_loading_info=True)
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit) and not args.bfloat16_path:
            module.support_avx512bf16_for_cpu = False
        for key, p in module.named_parameters(recurse=False):
            if not (isinstance(module, LAYERS) and key == "weight"):
                p.data = p.data.to(dtype)
    return model.eval(), {kind: sorted(map(str, names)) for kind, names in report.items() if names}


def quantised(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}


def describe(module):
    weight = module.weight
    if isinstance(module, bitsandbytes.nn.Linear8bitLt):
        return f"int8 {list(weight.shape)}"
    state = weight.quant_state
    nested = ", double" if state.nested else ""
    return f"{state.quant_type} {list(state.shape)} block {state.blocksize}{nested}, {weight.dtype}, for {state.dtype}"


def unquantised(model):
    """Names of layers inside the blocks that are still plain matrices."""
    plain = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    return [name for name, m in model.named_modules()
            if isinstance(m, plain) and not isinstance(m, LAYERS) and "head" not in name]


@torch.no_grad()
def run(model, ids, by_rows):
    if not by_rows:
        return model(input_ids=ids[None], use_cache=False).logits[0].float()
    past, rows = None, []
    for i in range(len(ids)):
        out = model(input_ids=ids[None, i:i + 1], past_key_values=past, use_cache=True)
        past = out.past_key_values
        rows.append(out.logits[0, 0].float())
    return torch.stack(rows)


def recorded(path, name):
    """(ids or None, logits) of a safetensors or JSON file."""
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as f:
            found = json.load(f)
        found = {"logits": found} if isinstance(found, list) else found
        found = {key: torch.tensor(value) for key, value in found.items() if isinstance(value, list)}
    else:
        found = safetensors.torch.load_file(path)
    ids = found["ids"].long() if "ids" in found else None
    return ids, found[name].reshape(-1, found[name].shape[-1]).double()


def difference(ours, theirs):
    """(largest absolute difference, mean KL of theirs from ours, rows whose best token is another)"""
    p, q = (torch.log_softmax(t.double(), -1) for t in (theirs, ours))
    kl = (p.exp() * (p - q)).sum(-1).mean().item()
    other = (ours.argmax(-1) != theirs.argmax(-1)).sum().item()
    return (ours.double() - theirs).abs().max().item(), kl, other


@torch.no_grad()
def save_dequantised(model, folder):
    tensors = {}
    for name, p in model.state_dict().items():
        owner = model.get_submodule(name.rpartition(".")[0]) if name.endswith((".weight", ".bias")) else None
        if name.endswith(".weight") and isinstance(owner, bitsandbytes.nn.Linear4bit):
            tensors[name] = bnb.dequantize_4bit(owner.weight.data, owner.weight.quant_state).float()
        elif name.endswith(".weight") and isinstance(owner, bitsandbytes.nn.Linear8bitLt):
            scb = owner.weight.SCB if owner.weight.SCB is not None else owner.state.SCB
            tensors[name] = bnb.int8_vectorwise_dequant(owner.weight.data, scb)
        elif owner is not None:
            tensors[name] = p.float()
    if model.config.model_type == "gpt2":
        for name in [n for n in tensors if n.removesuffix(".weight") in quantised(model)]:
            tensors[name] = tensors[name].T
    if model.config.tie_word_embeddings:
        tensors = {name: t for name, t in tensors.items() if name not in ("lm_head.weight", "lm_head.decoder.weight")}
    os.makedirs(folder, exist_ok=True)
    config = {k: v for k, v in model.config.to_diff_dict().items() if k != "quantization_config"}
    config["dtype"] = "float32"
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    tensors = {name: t.contiguous().clone() for name, t in tensors.items()}
    safetensors.torch.save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def show_layers(model):
    found, kinds = quantised(model), {}
    for name, module in found.items():
        kinds.setdefault(describe(module), []).append(name)
    for kind, names in kinds.items():
        print(f"  {len(names):3} x {kind}: {names[0]}{', ...' if names[1:] else ''}")
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--ids", help="token ids: 1,2,3")
    parser.add_argument("--against", metavar="FILE", help="logits to compare with")
    parser.add_argument("--name", default="logits", help="the tensor's name in that file")
    parser.add_argument("--rows", action="store_true", help="token by token with the past, instead of in one call")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of all that is not quantised")
    parser.add_argument("--attention", default="eager", help="sdpa for a Falcon with ALiBi")
    parser.add_argument("--most", type=float, help="the largest absolute difference allowed")
    parser.add_argument("--most-kl", type=float, help="the largest mean KL divergence allowed")
    parser.add_argument("--save-dequantised", metavar="OUT")
    parser.add_argument("--bfloat16-path", action="store_true")
    parser.add_argument("--compiled-dequantise", action="store_true")
    parser.add_argument("--falcon-linear", action="store_true")
    args = parser.parse_args()
    if not args.ids and not args.against:
        parser.error("--ids or --against is needed")
    return args


def compare(logits, theirs, args):
    if logits.shape != theirs.shape:
        print(f"against {args.against}: shapes {list(logits.shape)} and {list(theirs.shape)} differ")
        return False
    most, kl, other = difference(logits, theirs)
    print(f"against {args.against}: largest difference {most:.3g}, mean KL {kl:.3g}, "
          f"another best token in {other} of {len(logits)} rows")
    return (args.most is None or most <= args.most) and (args.most_kl is None or kl <= args.most_kl)


def main():
    args = arguments()
    library = None if args.compiled_dequantise else use_torch_dequantise()
    torch.set_num_threads(1)
    ids, theirs = recorded(args.against, args.name) if args.against else (None, None)
    if args.ids:
        ids = torch.tensor([int(i) for i in args.ids.split(",")])
    model, problems = load(args.folder, DTYPES[args.dtype], args)
    print(f"{args.folder}: {type(model).__name__}, transformers {transformers.__version__}, "
          f"bitsandbytes {bitsandbytes.__version__}")
    good = bool(show_layers(model)) and not problems
    for kind, names in problems.items():
        print(f"  {kind}: {names}")
    if rest := unquantised(model):
        print(f"  not quantised: {rest}")
    skipped = model.config.quantization_config.llm_int8_skip_modules or []
    good &= all(any(s in name for s in skipped) for name in rest)
    logits = run(model, ids, args.rows)
    print(f"logits {list(logits.shape)}: mean {logits.mean():.6g}, standard deviation {logits.std():.6g}, "
          f"least {logits.min():.6g}, largest {logits.max():.6g}, last row's best {logits[-1].argmax().item()}, "
          f"finite {bool(logits.isfinite().all())}")
    good &= bool(logits.isfinite().all())
    if theirs is not None:
        good &= compare(logits, theirs, args)
    if args.save_dequantised:
        save_dequantised(model, args.save_dequantised)
    del library
    print("good" if good else "NOT GOOD")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
