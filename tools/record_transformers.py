#!/usr/bin/env python3
"""Record a transformers model with and without its past, for `pkv check --recorded`.

Needs PyTorch and transformers. The text is fed twice: at once, and in pieces, where each piece is given the
past_key_values that the call before returned. Nothing else is done to help, so faults of the library show.

Usage:
    record_transformers.py gpt2 "I like to eat"
    record_transformers.py models/tiny-mpt "I like to eat" --splits all-single --output-dir /tmp/mpt
    record_transformers.py mosaicml/mpt-7b "I like to eat" --trust-remote-code --dtype bfloat16 --device cuda
    record_transformers.py tiiuae/falcon-7b "I like to eat" --load-in-8bit --device cuda --splits 3,2
    pkv check --recorded without.safetensors with.safetensors

--splits says how the text is cut:
    last          all tokens but the last, then the last (the default)
    all-single    one token at a time
    3,5           pieces of 3, then of 5 tokens; what is left makes the last piece

What comes out, in --output-dir: without.safetensors and with.safetensors. Each holds `ids` int64 [n], `logits` float32
[n, vocab] and, as text in the metadata: model, family, format, values_format, backend, layers, width, text, pieces
(lengths of the pieces, "4,1") and past_lengths (tokens in the past that each call returned, "4,5"; 0 where it returned
none).
"""

import argparse
import os
import sys


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
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model, **options)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, **{dtype_key: getattr(torch, args.dtype)}, **attention, **quantized, **options)
    return tokenizer, (model if quantized else model.to(args.device)).eval()


def feed(model, ids, pieces):
    """(logits [n, vocab] float32, length of the past that each call returned)"""
    import torch

    past, rows, lengths, start = None, [], [], 0
    for length in pieces:
        piece = torch.tensor([ids[start:start + length]], device=model.device)
        given = {} if past is None else {"past_key_values": past}
        with torch.no_grad():
            out = model(input_ids=piece, use_cache=True, **given)
        rows.append(out.logits[0].float().cpu())
        past = getattr(out, "past_key_values", None)
        lengths.append(past_length(past))
        start += length
    return torch.cat(rows), lengths


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


def write(path, ids, logits, metadata):
    import torch
    from safetensors.torch import save_file

    save_file({"ids": torch.tensor(ids), "logits": logits.contiguous()}, path, metadata=metadata)


def record(args, name, model, ids, pieces):
    logits, lengths = feed(model, ids, pieces)
    as_text = lambda numbers: ",".join(str(n) for n in numbers)
    path = os.path.join(args.output_dir, f"{name}.safetensors")
    write(path, ids, logits, {**description(args, model), "pieces": as_text(pieces), "past_lengths": as_text(lengths)})
    print(f"{path}: pieces {as_text(pieces)}, past {as_text(lengths)}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder or a name on the Hugging Face Hub")
    parser.add_argument("text")
    parser.add_argument("--splits", default="last", help="last, all-single, or lengths such as 3,5")
    parser.add_argument("--output-dir", default=".")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16", "float64"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, ...")
    parser.add_argument("--attn", help="attention implementation: eager, sdpa, flash_attention_2")
    parser.add_argument("--revision", help="branch, tag or commit on the Hub")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    bits = parser.add_mutually_exclusive_group()
    bits.add_argument("--load-in-4bit", action="store_true", help="needs bitsandbytes")
    bits.add_argument("--load-in-8bit", action="store_true", help="needs bitsandbytes")
    return parser.parse_args()


def main():
    args = parse()
    try:
        tokenizer, model = load(args)
    except ImportError as error:
        sys.exit(f"a package is missing: {error}. Install it with: pip install torch transformers safetensors")
    except (OSError, ValueError) as error:
        sys.exit(f"cannot load {args.model}: {error}")
    ids = tokenizer(args.text)["input_ids"]
    if len(ids) < 2:
        sys.exit(f"the text makes {len(ids)} token(s); two are needed, one for the past and one after it")
    os.makedirs(args.output_dir, exist_ok=True)
    pieces = cut(len(ids), args.splits)
    record(args, "without", model, ids, [len(ids)])
    record(args, "with", model, ids, pieces)


if __name__ == "__main__":
    main()
