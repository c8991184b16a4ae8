#!/usr/bin/env python3
"""Record a transformers model with and without its past, for `pkv check --recorded`.

Needs PyTorch and transformers. The text is fed twice: at once, and in pieces, where each piece is given the past that
the call before returned. Nothing else is done to help, so faults of the library show.

Usage:
    record_transformers.py gpt2 "I like to eat"
    record_transformers.py models/tiny-mpt "I like to eat" --splits all-single --output-dir /tmp/mpt
    record_transformers.py mosaicml/mpt-7b "I like to eat" --trust-remote-code --dtype bf16 --device cuda
    record_transformers.py tiiuae/falcon-7b "I like to eat" --load-in-8bit --device cuda --splits 3,2
    record_transformers.py gpt2 "I like to eat" --dtype fp16 --device cuda --hidden
    record_transformers.py ./my-model "I like to eat" --patch my_changes.py
    record_transformers.py ./folder "I like to eat" --gguf-file model-q8_0.gguf
    record_transformers.py gpt2 "I like to eat" --cache static --left-padding 3
    pkv check --recorded without.safetensors with.safetensors

--splits says how the text is cut:
    last          all tokens but the last, then the last (the default)
    all-single    one token at a time
    3,5           pieces of 3, then of 5 tokens; what is left makes the last piece

Beside the two runs some 25 more are recorded, by which `pkv check --recorded` tells the cause of a difference
(record_probes.py beside this file); --no-probes leaves them out but for both runs in a wider number format, by which
it tells rounding from faults. --hidden adds the states after each layer.
--cache takes the kind of past that is checked, dynamic, static or quantized (quantized:hqq): the run without a past
has the model's own. A model with windows gets layers with windows in any of them. --left-padding puts so many tokens
before the text where there is a past, with a mask and positions as generate() hands them over.
--patch takes a Python file with a function patch(model), called once the model is loaded: your own changes to it.
--random-weights needs no more of the model than its config.json, and --ids no tokenizer. Who has a model in memory
calls record_model(model, ids, pieces, folder) instead.

What comes out, in --output-dir: without.safetensors and with.safetensors. Each holds `ids` int64 [n], `logits` [rows,
vocab] in the type that the model gives and, as text in the metadata: model, family, format, values_format, past_format,
backend, layers, width, text, pieces (lengths of the pieces, "4,1") and past_lengths (tokens in the past that each call
returned, "4,5"; 0 where it returned none, -1 where it does not say). Of long texts and large vocabularies only some
rows are written; `rows` in the metadata says which. docs/recorded.md has the rest.
"""

import argparse
import importlib.util
import os
import sys
import warnings

import record_inside
import record_probes

FORMATS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


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


def be_quiet():
    """What libraries have to say goes to nobody: errors come as exceptions."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    import logging

    import transformers

    logging.getLogger("torch").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def past_format(past):
    """Number format of the keys that the library keeps; None where that cannot be seen."""
    try:
        keys = past.layers[0].keys if hasattr(past, "layers") else past[0][0]
        return str(keys.dtype).removeprefix("torch.")
    except (TypeError, IndexError, AttributeError, KeyError):
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
    if args.gguf_file:
        options["gguf_file"] = args.gguf_file
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


def new_past(kind, model):
    """What makes an empty past of that kind, for so many tokens; None: what the model makes itself."""
    from transformers import cache_utils

    name, _, backend = (kind or "").partition(":")
    config = model.config
    installed = lambda package: importlib.util.find_spec(package) is not None
    own = "hqq" if installed("hqq") else "quanto" if installed("optimum") else "fp8"
    kinds = {"": None, "dynamic": lambda _: cache_utils.DynamicCache(config=config),
             "static": lambda tokens: cache_utils.StaticCache(config=config, max_cache_len=tokens),
             "quantized": lambda _: cache_utils.QuantizedCache(backend or own, config)}
    if name not in kinds:
        raise ValueError(f"--cache takes dynamic, static or quantized[:BACKEND]; it was given '{kind}'")
    if kinds[name] is not None:
        kinds[name](8)  # says what is missing before anything is fed
    return kinds[name]


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

    gguf = {"gguf_file": args.gguf_file} if args.gguf_file else {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model, trust_remote_code=args.trust_remote_code,
                                                           revision=args.revision, **gguf)
    return tokenizer(args.text)["input_ids"]


def width(config):
    """Terms of the longest sum in a layer: what rounding depends on."""
    hidden = getattr(config, "hidden_size", None) or 0
    names = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
    inner = max([number for number in (getattr(config, name, None) for name in names) if isinstance(number, int)] + [0])
    return max(hidden, inner or 4 * hidden) or None


def description(model, known):
    import torch
    import transformers

    c = model.config.get_text_config()
    attention = getattr(c, "_attn_implementation", None) or "its own"
    values = str(model.dtype).removeprefix("torch.")
    device = str(model.device).split(":")[0]
    all_of_it = {"model": type(model).__name__, "family": c.model_type, "format": values, "values_format": values,
                 "backend": f"transformers {transformers.__version__} torch {torch.__version__} {device} {attention}",
                 "layers": getattr(c, "num_hidden_layers", None), "width": width(c), **known}
    return {k: str(v) for k, v in all_of_it.items() if v is not None}


def write(path, tensors, metadata):
    from safetensors.torch import save_file

    unknown = unknown_names(tensors, metadata)
    if unknown:
        raise ValueError(f"names that recorded_names.json does not list: {', '.join(unknown)}")
    shared = set()  # the format has no two names for one memory
    for name, t in tensors.items():
        tensors[name] = t.clone() if t.data_ptr() in shared else t
        shared.add(t.data_ptr())
    save_file(tensors, path, metadata=metadata)


def unknown_names(tensors, metadata):
    listed = record_probes.NAMES

    def known(name, some):
        return name in some or any(x.endswith("*") and name.startswith(x[:-1]) for x in some)

    bad = [name for name in metadata if not known(name, listed["metadata"])]
    for name in tensors:
        kind, _, rest = name.partition(".")
        causes = [part.split("=")[0] for part in rest.split("+")]
        if name in ("ids", "logits", "hidden", "routes") or kind == "probe" and known(rest, listed["runs"]):
            continue
        if kind != "suppose" or not all(cause in listed["suppose"] for cause in causes):
            bad.append(name)
    return bad


def record_model(model, ids, pieces, folder, probes=True, hidden=False, known=None, new_past=None, padding=0):
    """Writes both files of a model into a folder: its text `ids` whole, and in `pieces`, which are lengths. `known`:
    metadata of your own, such as {"model": "mine"}. `new_past(tokens)`: makes an empty past for so many tokens, where the
    model's own is not the one to check. `padding`: tokens on the left of texts with a past, which a mask hides. Lines on
    what was left out. NoPast where nothing can be handed over."""
    import torch

    runs, n = record_probes.Runs(model, new_past, padding), len(ids)
    runs.longest = 2 * n + padding  # a fork holds the text and its end twice
    vocab = runs.whole(ids[:2], rows=[0]).shape[-1]
    rows = record_probes.rows_to_keep(n, pieces, vocab)
    listed = lambda numbers: ",".join(str(x) for x in numbers)
    runs.count = 0
    alone, after = (record_probes.fed(runs, ids, parts, rows, hidden) for parts in ([n], pieces))
    without, without_lengths, states = alone.logits, alone.lengths, alone.states
    other, lengths, past, other_states = after.logits, after.lengths, after.past, after.states
    told = description(model, known or {})
    if len(rows) < n:
        told["rows"] = listed(rows)
    if past_format(past):
        told["past_format"] = past_format(past)
    if padding:
        told["left_padding"] = str(padding)
    tensors, more = {}, {}
    routes = record_inside.exchanges(alone.routes, after.routes) if runs.routers else None
    if probes and len(pieces) > 1:
        tensors, more = record_probes.record(runs, ids, pieces, rows, other, without,
                                             past is not None, hidden)
    elif len(pieces) > 1:
        tensors, more = record_probes.record_wide_runs(runs, ids, pieces, rows)
    if routes is not None:
        tensors["routes"], more["route_layers"] = routes[0], listed(routes[1])
    if len(set(ids)) == 1:
        runs.left_out.append("a text that says anything: one token, repeated, looks the same wherever attention looks")
    if runs.left_out:
        more["left_out"] = "\n".join(runs.left_out)
    for name, logits, own, some, parts, past_lengths in (
            ("without", without, states, {}, [n], without_lengths), ("with", other, other_states, tensors, pieces, lengths)):
        all_of_them = {"ids": torch.tensor(ids), "logits": in_own_type(logits), **some}
        if own is not None:
            all_of_them["hidden"] = own.contiguous()
        write(os.path.join(folder, f"{name}.safetensors"), all_of_them,
              {**told, **(more if name == "with" else {}), "pieces": listed(parts), "past_lengths": listed(past_lengths)})
    return runs.left_out, runs.count


def in_own_type(logits):
    import torch

    return (logits.float() if logits.dtype == torch.float64 else logits).contiguous()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder or a name on the Hugging Face Hub")
    parser.add_argument("text", nargs="?", help="may be left out where --ids is given")
    parser.add_argument("--ids", help="token ids instead of a text: 1,2,3")
    parser.add_argument("--splits", default="last", help="last, all-single, or lengths such as 3,5")
    parser.add_argument("--output-dir", default=".")
    parser.add_argument("--dtype", default="float32", choices=list(FORMATS) + list(FORMATS.values()))
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, ...")
    parser.add_argument("--attn", help="attention implementation: eager, sdpa, flash_attention_2")
    parser.add_argument("--revision", help="branch, tag or commit on the Hub")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    parser.add_argument("--probes", action=argparse.BooleanOptionalAction, default=True,
                        help="the extra runs that tell causes apart (the default)")
    parser.add_argument("--hidden", action="store_true", help="the states after each layer, too")
    parser.add_argument("--gguf-file", metavar="FILE", help="weights and tokenizer of a GGUF file in the folder")
    parser.add_argument("--cache", metavar="KIND", help="of past: dynamic, static, quantized[:BACKEND]")
    parser.add_argument("--left-padding", type=int, default=0, metavar="N", help="tokens before the text")
    parser.add_argument("--patch", metavar="FILE", help="a Python file with a function patch(model)")
    parser.add_argument("--random-weights", action="store_true", help="weights drawn at random, not read")
    bits = parser.add_mutually_exclusive_group()
    bits.add_argument("--load-in-4bit", action="store_true", help="needs bitsandbytes")
    bits.add_argument("--load-in-8bit", action="store_true", help="needs bitsandbytes")
    args = parser.parse_args()
    if (args.text is None) == (args.ids is None):
        parser.error("give a text, or --ids")
    args.text = args.text or ""
    args.dtype = FORMATS.get(args.dtype, args.dtype)
    return args


def main():
    args = parse()
    try:
        be_quiet()
        ids, model = ids_of(args), load(args)
        make_past = new_past(args.cache, model)
    except ImportError as error:
        sys.exit(f"a package is missing: {error}. Install it with: pip install torch transformers safetensors")
    except (OSError, ValueError) as error:
        sys.exit(f"cannot load {args.model}: {error}")
    if len(ids) < 2:
        sys.exit(f"the text makes {len(ids)} token(s); two are needed, one for the past and one after it")
    os.makedirs(args.output_dir, exist_ok=True)
    pieces = cut(len(ids), args.splits)
    format_ = "fp4" if args.load_in_4bit else "int8" if args.load_in_8bit else args.dtype
    try:
        left_out, count = record_model(model, ids, pieces, args.output_dir, args.probes, args.hidden,
                                       {"model": args.model, "format": format_, "values_format": args.dtype,
                                        "text": args.text}, make_past, args.left_padding)
    except record_probes.NoPast as error:
        sys.exit(f"not recorded: {error}")
    for line in left_out:
        print(f"left out: {line}")
    print(f"{args.output_dir}: without.safetensors, with.safetensors; pieces {','.join(map(str, pieces))}, "
          f"the text was fed {count} times")


if __name__ == "__main__":
    main()
