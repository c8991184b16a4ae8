#!/usr/bin/env python3
"""Record a transformers model with and without its past, for `pkv check --recorded`.

Needs PyTorch and transformers. The text is fed twice: at once, and in pieces, where each piece is given the
past_key_values that the call before returned. Nothing else is done to help, so faults of the library show.

Usage:
    record_transformers.py gpt2 "I like to eat"
    record_transformers.py models/tiny-mpt "I like to eat" --splits all-single --output-dir /tmp/mpt
    record_transformers.py mosaicml/mpt-7b "I like to eat" --trust-remote-code --dtype bfloat16 --device cuda
    record_transformers.py tiiuae/falcon-7b "I like to eat" --load-in-8bit --device cuda --splits 3,2
    record_transformers.py gpt2 "I like to eat" --dtype float16 --device cuda --probes --hidden
    record_transformers.py ./my-model "I like to eat" --patch my_changes.py --probes
    pkv check --recorded without.safetensors with.safetensors

--splits says how the text is cut:
    last          all tokens but the last, then the last (the default)
    all-single    one token at a time
    3,5           pieces of 3, then of 5 tokens; what is left makes the last piece

--probes adds the extra runs by which `pkv check --recorded` tells the cause of a difference, some 40 for a short text
(record_probes.py beside this file); --hidden adds the states after each layer, by which it tells where the runs part.
--patch takes a Python file with a function patch(model), called once the model is loaded: your own changes to it.
--random-weights needs no more of the model than its config.json, and --ids no tokenizer.

What comes out, in --output-dir: without.safetensors and with.safetensors. Each holds `ids` int64 [n], `logits` [n, vocab]
in the type that the model gives and, as text in the metadata: model, family, format, values_format, past_format, backend,
layers, width, text, pieces (lengths of the pieces, "4,1") and past_lengths (tokens in the past that each call returned,
"4,5"; 0 where it returned none). docs/recorded.md has the rest.
"""

import argparse
import importlib.util
import os
import sys

import record_probes


def cut(count, splits):
    """Lengths of the pieces that make `count` tokens."""
    if splits == "last":
        return [count - 1, 1]
    if splits == "all-single":
        return [1] * count
    try:
        pieces = [int(s) for s in splits.split(",")]
    except ValueError:
        sys.exit(f"--splits takes last, all-single, or lengths such as 3,5; it was given '{splits}'")
    if min(pieces) < 1 or sum(pieces) > count:
        sys.exit(f"--splits {splits} does not fit a text of {count} tokens: every piece needs at least one token")
    left = count - sum(pieces)
    return pieces + [left] if left else pieces


def past_length(past):
    """Tokens in the past that the library handed over, as far as it says; 0 for none."""
    if past is None:
        return 0
    if hasattr(past, "get_seq_length"):
        return int(past.get_seq_length())
    try:  # versions before 4.36: tuples of (keys, values); Falcon of 2023 puts the length second to last
        return int(past[0][0].shape[-2]) if len(past) else 0
    except (TypeError, IndexError, AttributeError):
        return 0


def past_format(past):
    """Number format of the keys that the library keeps; None where that cannot be seen."""
    try:
        keys = past.layers[0].keys if hasattr(past, "layers") else past[0][0]
        return str(keys.dtype).removeprefix("torch.")
    except (TypeError, IndexError, AttributeError):
        return None


def quantization(args):
    if not (args.load_in_4bit or args.load_in_8bit):
        return {}
    from transformers import BitsAndBytesConfig
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=args.load_in_4bit, load_in_8bit=args.load_in_8bit),
            "device_map": args.device}


def load(args):
    import torch
    import transformers

    options = {"trust_remote_code": args.trust_remote_code, "revision": args.revision}
    quantized = quantization(args)
    major, minor = (int(x) for x in transformers.__version__.split(".")[:2])
    dtype_key = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    attention = {"attn_implementation": args.attn} if args.attn else {}
    given = {**attention, **quantized, **options}
    if args.random_weights:
        torch.manual_seed(0)
        config = transformers.AutoConfig.from_pretrained(args.model, **options)
        model = transformers.AutoModelForCausalLM.from_config(config, **attention).to(getattr(torch, args.dtype))
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            args.model, **{dtype_key: getattr(torch, args.dtype)}, **given)
    model = (model if quantized else model.to(args.device)).eval()
    if args.patch:
        changes_of(args.patch).patch(model)
    return model


def changes_of(path):
    spec = importlib.util.spec_from_file_location("changes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "patch"):
        sys.exit(f"{path} has no function patch(model)")
    return module


def ids_of(args):
    if args.ids:
        try:
            return [int(i) for i in args.ids.split(",")]
        except ValueError:
            sys.exit(f"--ids takes numbers such as 1,2,3; it was given '{args.ids}'")
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model, trust_remote_code=args.trust_remote_code,
                                                           revision=args.revision)
    return tokenizer(args.text)["input_ids"]


def feed(model, ids, pieces, hidden):
    """(logits [n, vocab], length of the past that each call returned, the last past, hidden states or None)"""
    import torch

    past, rows, states, lengths, start = None, [], [], [], 0
    more = {"output_hidden_states": True} if hidden else {}
    for length in pieces:
        piece = torch.tensor([ids[start:start + length]], device=model.device)
        given = {} if past is None else {"past_key_values": past}
        with torch.no_grad():
            out = model(input_ids=piece, use_cache=True, **given, **more)
        rows.append(record_probes.logits_of(out))
        if hidden:
            states.append(record_probes.hidden_of(out))
        past = getattr(out, "past_key_values", None)
        lengths.append(past_length(past))
        start += length
    return torch.cat(rows), lengths, past, torch.cat(states, dim=1) if hidden else None


def width(config):
    """Terms of the longest sum in a layer: what rounding depends on."""
    hidden = getattr(config, "hidden_size", None) or 0
    names = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
    inner = max([getattr(config, name, None) or 0 for name in names])
    return max(hidden, inner or 4 * hidden) or None


def description(args, model):
    import torch
    import transformers

    c = model.config
    attention = getattr(c, "_attn_implementation", None) or "its own"
    number_format = "fp4" if args.load_in_4bit else "int8" if args.load_in_8bit else args.dtype
    known = {"model": args.model, "family": c.model_type, "format": number_format, "values_format": args.dtype,
             "text": args.text,
             "backend": f"transformers {transformers.__version__} torch {torch.__version__} {args.device} {attention}",
             "layers": getattr(c, "num_hidden_layers", None), "width": width(c)}
    return {k: str(v) for k, v in known.items() if v is not None}


def write(path, tensors, metadata):
    from safetensors.torch import save_file

    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata=metadata)


def record(args, name, model, ids, pieces):
    import torch

    logits, lengths, past, states = feed(model, ids, pieces, args.hidden)
    as_text = lambda numbers: ",".join(str(n) for n in numbers)
    path = os.path.join(args.output_dir, f"{name}.safetensors")
    tensors = {"ids": torch.tensor(ids), "logits": logits}
    metadata = {**description(args, model), "pieces": as_text(pieces), "past_lengths": as_text(lengths)}
    if past_format(past):
        metadata["past_format"] = past_format(past)
    if states is not None:
        tensors["hidden"] = states
    if args.probes and len(pieces) > 1:
        probes, more = record_probes.record(model, ids, len(ids) - pieces[-1], past_length, args.hidden)
        tensors.update(probes)
        metadata.update(more)
    write(path, tensors, metadata)
    print(f"{path}: pieces {as_text(pieces)}, past {as_text(lengths)}, {len(tensors)} tensors")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder or a name on the Hugging Face Hub")
    parser.add_argument("text", nargs="?", help="may be left out where --ids is given")
    parser.add_argument("--ids", help="token ids instead of a text: 1,2,3")
    parser.add_argument("--splits", default="last", help="last, all-single, or lengths such as 3,5")
    parser.add_argument("--output-dir", default=".")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, ...")
    parser.add_argument("--attn", help="attention implementation: eager, sdpa, flash_attention_2")
    parser.add_argument("--revision", help="branch, tag or commit on the Hub")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    parser.add_argument("--probes", action="store_true", help="the extra runs that tell causes apart")
    parser.add_argument("--hidden", action="store_true", help="the states after each layer, too")
    parser.add_argument("--patch", metavar="FILE", help="a Python file with a function patch(model)")
    parser.add_argument("--random-weights", action="store_true", help="weights drawn at random, not read")
    bits = parser.add_mutually_exclusive_group()
    bits.add_argument("--load-in-4bit", action="store_true", help="needs bitsandbytes")
    bits.add_argument("--load-in-8bit", action="store_true", help="needs bitsandbytes")
    args = parser.parse_args()
    if (args.text is None) == (args.ids is None):
        parser.error("give a text, or --ids")
    args.text = args.text or ""
    return args


def main():
    args = parse()
    try:
        ids, model = ids_of(args), load(args)
    except ImportError as error:
        sys.exit(f"a package is missing: {error}. Install it with: pip install torch transformers safetensors")
    except (OSError, ValueError) as error:
        sys.exit(f"cannot load {args.model}: {error}")
    if len(ids) < 2:
        sys.exit(f"the text makes {len(ids)} token(s); two are needed, one for the past and one after it")
    os.makedirs(args.output_dir, exist_ok=True)
    pieces = cut(len(ids), args.splits)
    record(args, "without", model, ids, [len(ids)])
    record(args, "with", model, ids, pieces)


if __name__ == "__main__":
    main()
