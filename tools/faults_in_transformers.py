#!/usr/bin/env python3
"""Plants faults in transformers itself, records each with record_transformers.py, and prints what pkv makes of them.

The models are small and drawn at random; the faults are those of tests/foreign, as far as they can be planted from
outside: in what attention reads, in the positions that are handed over, in who owns which past. The table says, fault by
format, for the splits `last` and `10,8`: right (named), unknown (said to be wrong, not named), hidden (said to be
well; smaller than what the report says that it does not see, which is for recordings without wider runs), missed (said
to be well), wrong (named something that it is not; of a healthy model: any fault at all). --no-probes hands over the two
runs alone, without wider ones.

Needs PyTorch and transformers, and a pkv that was built.

Usage:
    faults_in_transformers.py --pkv build/release/pkv
    faults_in_transformers.py --pkv build/release/pkv --models llama,gemma3_text --formats bf16 --only window --no-probes
"""

import argparse
import collections
import copy
import functools
import json
import os
import random
import subprocess
import sys
import tempfile

import healthy_in_transformers
import record_probes
import record_transformers

SMALL = dict(vocab_size=320, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16, intermediate_size=96, max_position_embeddings=256, pad_token_id=0, bos_token_id=1,
             eos_token_id=2)
MODELS = {
    "llama": SMALL,
    "gemma3_text": dict(SMALL, sliding_window=9, layer_types=["sliding_attention", "full_attention"] * 2),
    "qwen3_moe": dict(SMALL, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=48),
}
TOKENS = 24


class Call:
    """A call of attention: what was there before, and what is new."""

    def __init__(self, module, query, key):
        self.layer, self.rows = module.layer_idx, query.shape[2]
        self.past = key.shape[2] - query.shape[2]
        self.length = key.shape[2]
        self.narrow = query.element_size() == 2
        self.bits = 8 * query.element_size()


def in_attention(change):
    """`change(call, key, value, seen, scaling)` -> the same four, of calls after a past; seen: [rows, keys] of bool."""

    def plant(model):
        import torch
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import eager_mask

        def attend(module, query, key, value, attention_mask, scaling=None, **kwargs):
            groups = query.shape[1] // key.shape[1]
            call = Call(module, query, key)
            seen = torch.ones(call.rows, call.length, dtype=torch.bool, device=query.device).tril(call.past)
            if attention_mask is not None:
                seen = attention_mask[:, :, :, :call.length] == 0
            order = [h // groups for h in range(query.shape[1])]
            if call.past > 0:
                key, value, seen, scaling, order = change(call, key, value, seen, scaling, order)
            key, value = key[:, order], value[:, order]
            scores = query @ key.transpose(2, 3) * scaling
            scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
            return (weights @ value).transpose(1, 2).contiguous(), weights

        AttentionInterface.register("faulty", attend)
        AttentionMaskInterface.register("faulty", eager_mask)
        model.set_attn_implementation("faulty")

    return plant


def masked(see):
    """`see(call, q, k)`: which keys k of the call's own row q are seen, beside what is; q and k broadcast."""

    def change(call, key, value, seen, scaling, order):
        import torch

        q = torch.arange(call.rows, device=key.device)[:, None]
        k = torch.arange(call.length, device=key.device)[None, :]
        return key, value, see(call, q, k, seen), scaling, order

    return in_attention(change)


def stored(edit):
    """`edit(call, key, value)` of the past's keys and values, copies: [batch, heads, tokens, size]."""

    def change(call, key, value, seen, scaling, order):
        import torch

        old = edit(call, key[:, :, :call.past].clone(), value[:, :, :call.past].clone())
        return *(torch.cat([o, new[:, :, call.past:]], 2) for o, new in zip(old, (key, value))), seen, scaling, order

    return in_attention(change)


def quantised(levels):
    def of(t):
        step = t.abs().amax(-1, keepdim=True).clamp(min=1e-9) / levels
        return (t / step).round() * step

    return stored(lambda call, k, v: (of(k), of(v)))


def in_format(name):
    import torch

    return stored(lambda call, k, v: tuple(t.to(getattr(torch, name)).to(t.dtype) for t in (k, v)))


def around_forward(wrap):
    """`wrap(forward, model)` -> another forward."""

    def plant(model):
        model.forward = functools.wraps(model.forward)(wrap(model.forward, model))

    return plant


def placed(position):
    """`position(past, rows)`: positions of the new tokens."""

    def wrap(forward, model):
        def faulty(*args, **kwargs):
            import torch

            past = past_in(kwargs)
            if past is not None and "position_ids" not in kwargs:
                ids = kwargs["input_ids"]
                at = [max(0, p) for p in position(past.get_seq_length(), ids.shape[1])]
                kwargs["position_ids"] = torch.tensor([at] * ids.shape[0], device=ids.device)
            return forward(*args, **kwargs)

        return faulty

    return around_forward(wrap)


def past_in(kwargs):
    """Under whichever name it was handed over."""
    return next((kwargs[name] for name in record_probes.PASTS if kwargs.get(name) is not None), None)


def past_of(out):
    return next((getattr(out, name) for name in record_probes.PASTS if getattr(out, name, None) is not None), None)


def give_back(out, past):
    for name in record_probes.PASTS:
        if getattr(out, name, None) is not None:
            out[name] = past


def with_pasts(before=None, after=None):
    """`before(kwargs, kept)` of a call, `after(out, kwargs, kept)` of what it gives; kept: a dict of the program's,
    which has the name of pasts under "past"."""

    def wrap(forward, model):
        kept = {"past": record_probes.Runs(model).past_name}

        def faulty(*args, **kwargs):
            if before is not None:
                before(kwargs, kept)
            out = forward(*args, **kwargs)
            if after is not None:
                after(out, kwargs, kept)
            return out

        return faulty

    return around_forward(wrap)


def one_buffer():
    def before(kwargs, kept):
        if past_in(kwargs) is not None:
            return
        if "buffer" in kept:  # the same object, emptied
            for layer in kept["buffer"].layers:
                layer.is_initialized = False
                layer.keys = layer.values = None
                if hasattr(layer, "cumulative_length"):
                    layer.cumulative_length = 0
            kwargs[kept["past"]] = kept["buffer"]

    def after(out, kwargs, kept):
        kept.setdefault("buffer", past_of(out))

    return with_pasts(before, after)


def writes_into_older():
    def after(out, kwargs, kept):
        if past_in(kwargs) is None:
            if "older" in kept:
                for layer in kept["older"].layers:
                    layer.keys[:, :, -1] = 0.5
            kept["older"] = past_of(out)

    return with_pasts(after=after)


def rows_swapped():
    def before(kwargs, kept):
        past = past_in(kwargs)
        if past is not None and kwargs["input_ids"].shape[0] == 2:
            for layer in past.layers:
                layer.keys, layer.values = layer.keys.flip(0), layer.values.flip(0)

    return with_pasts(before)


def stale_prefix():
    def after(out, kwargs, kept):
        if past_in(kwargs) is not None or kwargs["input_ids"].shape[0] > 1:
            return
        length, past = kwargs["input_ids"].shape[1], past_of(out)
        if length in kept and kept[length].layers[0].keys.dtype == past.layers[0].keys.dtype:
            give_back(out, copy.deepcopy(kept[length]))
        else:
            kept[length] = copy.deepcopy(past)

    return with_pasts(after=after)


def absent():
    def after(out, kwargs, kept):
        give_back(out, None)

    return with_pasts(after=after)


def not_cropped(model):
    from transformers import cache_utils

    for kind in (cache_utils.DynamicLayer, cache_utils.DynamicSlidingWindowLayer):
        PATCHED.append((kind, "crop", kind.crop))
        kind.crop = lambda self, tokens: None


def not_reordered(model):
    from transformers import cache_utils

    PATCHED.append((cache_utils.CacheLayerMixin, "reorder_cache", cache_utils.CacheLayerMixin.reorder_cache))
    cache_utils.CacheLayerMixin.reorder_cache = lambda self, rows: None


def stale_page():
    """The first text's keys and values 4 .. 8 stand in every past of one text that is made later."""

    def after(out, kwargs, kept):
        past = past_of(out)
        if past_in(kwargs) is not None or kwargs["input_ids"].shape[0] > 1 or kwargs["input_ids"].shape[1] < 8:
            return
        if any(layer.keys.shape[2] < 8 for layer in past.layers):
            return
        page = kept.setdefault(past.layers[0].keys.dtype, [(layer.keys[:, :, 4:8].clone(), layer.values[:, :, 4:8].clone())
                                                           for layer in past.layers])
        for layer, (keys, values) in zip(past.layers, page):
            layer.keys[:, :, 4:8], layer.values[:, :, 4:8] = keys, values

    return with_pasts(after=after)


def stale_output():
    """After a past, the logits of the call before."""

    def after(out, kwargs, kept):
        own = out.logits
        if past_in(kwargs) is not None and "logits" in kept and kept["logits"].shape[0] == own.shape[0]:
            import torch

            out.logits = torch.cat([kept["logits"][:, -1:], own[:, :-1]], 1)
        kept["logits"] = own

    return with_pasts(after=after)


def place_captured():
    """Positions of every call after a past are those of the first such call, as in a graph that was captured."""

    def before(kwargs, kept):
        past = past_in(kwargs)
        if past is None or "position_ids" in kwargs:
            return
        import torch

        ids = kwargs["input_ids"]
        start = kept.setdefault("start", past.get_seq_length())
        kwargs["position_ids"] = torch.arange(start, start + ids.shape[1], device=ids.device)[None].expand(len(ids), -1)

    return with_pasts(before)


def keys_not_reordered(model):
    from transformers import cache_utils

    own = cache_utils.CacheLayerMixin.reorder_cache

    def values_alone(self, rows):
        keys = self.keys
        own(self, rows)
        self.keys = keys

    PATCHED.append((cache_utils.CacheLayerMixin, "reorder_cache", own))
    cache_utils.CacheLayerMixin.reorder_cache = values_alone


def one_left_after_a_crop(model):
    from transformers import cache_utils

    for kind in (cache_utils.DynamicLayer, cache_utils.DynamicSlidingWindowLayer):
        own = kind.crop
        PATCHED.append((kind, "crop", own))
        kind.crop = lambda self, tokens, own=own: own(self, tokens + 1)


def last_twice(call, key, value, seen, scaling, order):
    import torch

    p = call.past
    twice = lambda t: torch.cat([t[:, :, :p], t[:, :, p - 1:]], 2)
    return twice(key), twice(value), torch.cat([seen[..., :p], seen[..., p - 1:]], -1), scaling, order


def blocks_in_equal_parts(call, key, value, seen, scaling, order):
    """Half of the keys weigh too little: a merge of blocks that forgets one block's largest score."""
    import torch

    p = call.past // 2
    heavier = torch.ones(call.length, dtype=value.dtype, device=value.device)
    heavier[:p] = 0.8
    return key, value * heavier[:, None], seen, scaling, order


def one_head_turned(call, k, v):
    """Head 0 of the past, its halves exchanged: rotated by another convention."""
    half = k.shape[-1] // 2
    k[:, 0] = k[:, 0].roll(half, -1)
    return k, v


def clipped(call, k, v):
    """8 bits whose scale is that of the first four tokens: what is larger is clipped."""
    def of(t):
        step = t[:, :, :4].abs().amax((-1, -2), keepdim=True).clamp(min=1e-9) / 127
        return (t / step).round().clamp(-127, 127) * step
    return of(k), of(v)


def values_in_4_bits(call, k, v):
    step = v.abs().amax(-1, keepdim=True).clamp(min=1e-9) / 7
    return k, (v / step).round() * step


PATCHED = []


def undo():
    while PATCHED:
        kind, name, own = PATCHED.pop()
        setattr(kind, name, own)


def dropout(model):
    import torch

    for layer in model.model.layers:
        layer.mlp.register_forward_hook(lambda m, args, out: torch.nn.functional.dropout(out, 0.1, True))


def first_call_only():
    state = collections.Counter()

    def see(call, q, k, seen):
        state[call.layer] += 1
        return seen & (k >= 4) if state[call.layer] == 1 else seen

    return masked(see)


def scaled(call, key, value, seen, scaling, order):
    import math

    return key, value, seen, scaling * math.log(4 + call.length) / 3, order


def tiled(call, key, value, seen, scaling, order):
    return key, value, seen, scaling, [h % key.shape[1] for h in range(len(order))]


def one_head(call, key, value, seen, scaling, order):
    import torch

    if call.layer != 1:
        return key, value, seen, scaling, order
    seen = seen.expand(*([1] * (4 - seen.ndim)), *seen.shape).expand(-1, len(order), -1, -1).clone()
    seen[:, 2, :, :call.past] = False
    return key, value, seen, scaling, order


def zero_key(call, k, v):
    k[:, :, 0], v[:, :, 0] = 0, 0
    return k, v


def lost_page(call, k, v):
    k[:, :, 4:8], v[:, :, 4:8] = 0, 0
    return k, v


# Name: (how it is planted, what may be named, formats in which it is there; splits in which it shows).
ALL, NARROW, WIDE = ("fp32", "bf16", "fp16"), ("bf16", "fp16"), ("fp32",)
FAULTS = {
    "healthy": (lambda model: None, {"rounding"}, ALL),
    "past ignored": (masked(lambda c, q, k, s: s & (k >= c.past)), {"past-ignored", "new-tokens-alone"}, ALL),
    "mask top left": (masked(lambda c, q, k, s: s & (k <= q)), {"top-left-mask"}, ALL),
    "later tokens seen": (masked(lambda c, q, k, s: s | (k >= c.past)), {"later-tokens-seen"}, ALL, "10,8"),
    "sinks evicted": (masked(lambda c, q, k, s: s & (k >= 3)), {"first-dropped"}, ALL),
    "window of 6": (masked(lambda c, q, k, s: s & (k > c.past + q - 6)), {"window"}, ALL),
    "own key unseen": (masked(lambda c, q, k, s: s & (k != c.past + q)), {"own-key-unseen"}, ALL),
    "last of the past masked": (masked(lambda c, q, k, s: s & (k != c.past - 1)), {"last-of-past-lost"}, ALL),
    "middle of the past lost": (masked(lambda c, q, k, s: s & ((k < c.past // 2) | (k >= c.past // 2 + 4))), {"keys-lost"},
                                ALL),
    "one head ignores the past": (in_attention(one_head), {"head-ignores-past"}, ALL),
    "one layer ignores the past": (masked(lambda c, q, k, s: s & (k >= c.past) if c.layer == 1 else s),
                                   {"layer-ignores-past"}, ALL),
    "kernel loses 4 keys, in 16 bits": (masked(lambda c, q, k, s: s & ((k < 5) | (k >= 9)) if c.narrow else s),
                                        {"keys-lost"}, NARROW),
    "split-K forgets a block, in fp32": (masked(lambda c, q, k, s: s & ((k < 4) | (k >= 8)) if c.bits == 32 else s),
                                         {"keys-lost"}, WIDE),
    "one-token kernel drops a block": (masked(
        lambda c, q, k, s: s & ((k < (c.length - 1) // 8 * 8) | (k >= c.past)) if c.rows == 1 else s),
        {"keys-lost", "one-token-call"}, ALL, "last"),
    "only the first call is wrong": (first_call_only, {"first-dropped"}, ALL),
    "scale by length": (in_attention(scaled), {"scores-scaled"}, ALL),
    "heads tiled wrongly": (in_attention(tiled), {"heads-tiled"}, ALL),
    "heads shifted": (stored(lambda c, k, v: (k.roll(1, 1), v.roll(1, 1))), {"heads-shifted"}, ALL),
    "values shifted": (stored(lambda c, k, v: (k, v.roll(-1, 2))), {"values-shifted"}, ALL),
    "keys and values swapped": (stored(lambda c, k, v: (v, k)), {"keys-and-values-swapped"}, ALL),
    "ring out of order": (stored(lambda c, k, v: (k.roll(5, 2), v.roll(3, 2))), {"ring-out-of-order"}, ALL),
    "a zero key is attended to": (stored(zero_key), {"zeros-in-past"}, ALL),
    "a page is lost": (stored(lost_page), {"zeros-in-past"}, ALL),
    "past in int8": (quantised(127), {"past-in-int8"}, ALL),
    "past in int4": (quantised(7), {"past-in-int4"}, ALL),
    "past in fp8": (lambda model: in_format("float8_e4m3fn")(model), {"past-in-fp8"}, ALL),
    "past in bf16": (lambda model: in_format("bfloat16")(model), {"past-in-bf16"}, ("fp32", "fp16")),
    "positions restart": (placed(lambda past, n: range(n)), {"position-restarted"}, ALL),
    "positions one too far": (placed(lambda past, n: range(past + 1, past + n + 1)), {"position-one-far"}, ALL),
    "positions one short": (placed(lambda past, n: range(past - 1, past + n - 1)), {"position-one-short"}, ALL),
    "positions stop": (placed(lambda past, n: [min(p, 9) for p in range(past, past + n)]), {"position-stops"}, ALL),
    "padding counted": (placed(lambda past, n: range(past + 3, past + n + 3)), {"position-from-padding"}, ALL),
    "past absent": (absent, {"past-absent"}, ALL),
    "dropout left on": (lambda model: dropout(model), {"not-deterministic"}, ALL),
    "another text's past": (stale_prefix, {"past-of-another-text", "past-shared"}, ALL),
    "one buffer for all texts": (one_buffer, {"past-shared", "past-of-another-text"}, ALL),
    "a prefill writes into an older past": (writes_into_older, {"past-shared"}, ALL),
    "rows of a batch swapped": (rows_swapped, {"batch-rows-mixed"}, ALL),
    "beams are not reordered": (lambda model: not_reordered(model), {"rows-not-reordered"}, ALL),
    "drafts are not cropped": (lambda model: not_cropped(model), {"past-not-rewound"}, ALL),
    "one draft is left": (lambda model: one_left_after_a_crop(model), {"past-not-rewound"}, ALL),
    "values of beams alone are reordered": (lambda model: keys_not_reordered(model), set(), ALL),
    "a page of the first text in every past": (stale_page, {"past-shared"}, ALL),
    "logits of the call before": (stale_output, {"one-token-call"}, ALL),
    "positions of the first call": (place_captured, {"position-stops", "position-frozen"}, ALL, "all-single"),
    "last of the past twice": (in_attention(last_twice), set(), ALL),
    "first half of the past weighs less": (in_attention(blocks_in_equal_parts), set(), ALL),
    "one head rotated otherwise": (stored(one_head_turned), set(), ALL),
    "past in int8, clipped": (stored(clipped), {"past-in-int8"}, ALL),
    "values in int4": (stored(values_in_4_bits), {"past-in-int4"}, ALL),
    "sinks and the last six": (masked(lambda c, q, k, s: s & ((k < 2) | (k > c.past + q - 6))), {"keys-lost"}, ALL),
    "window of 6 in one layer": (masked(lambda c, q, k, s: s & (k > c.past + q - 6) if c.layer == 2 else s), set(), ALL),
    "first of a call misses the key before": (masked(lambda c, q, k, s: s & ((q > 0) | (k != c.past - 1))),
                                              {"last-of-past-lost"}, ALL),
    "values of the past dimmed": (stored(lambda c, k, v: (k, 0.9 * v)), set(), ALL),
}
FACTORIES = {first_call_only, one_buffer, writes_into_older, rows_swapped, stale_prefix, absent, stale_page, stale_output,
             place_captured}
NEED_PROBES = {"another text's past", "one buffer for all texts", "a prefill writes into an older past",
               "rows of a batch swapped", "drafts are not cropped", "beams are not reordered", "one draft is left",
               "values of beams alone are reordered", "a page of the first text in every past"}
NEED_CROP = {"drafts are not cropped", "one draft is left"}  # which windows refuse


def model_of(family, format_):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **MODELS[family])
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1.5 / weight.shape[-1] ** 0.5)
    return model.to(getattr(torch, record_transformers.FORMATS[format_])).eval()


def judged(pkv, folder, may_be, healthy):
    files = [os.path.join(folder, f"{name}.safetensors") for name in ("without", "with")]
    done = subprocess.run([pkv, "check", "--recorded", *files, "--output", "json"], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{pkv} failed: {done.stderr}")
    report = json.loads(done.stdout)
    certain = {c["cause"] for c in report["causes"] if c["confirmed"]}
    holds, moved, blind = report["verdict"]["holds"], report["total"]["max_abs"], report["blind_spot"] or 0
    told = f"{report['verdict']['outcome']} [{', '.join(sorted(certain))}], moved by {moved:.3g}, blind below {blind:.3g}"
    if certain - may_be or healthy and not holds:
        return "wrong", told
    if healthy:
        return "right", told
    if not holds:
        return "right" if certain else "unknown", told
    wide = any(name.startswith("probe.wide") for name in names_in(files[1]))
    return "missed" if wide or not 0 < moved <= blind else "hidden", told


def names_in(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return list(file.keys())


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pkv", required=True, help="the program")
    parser.add_argument("--models", default="llama")
    parser.add_argument("--formats", default="fp32,bf16,fp16")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--probes", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def main():
    args = parse()
    record_transformers.be_quiet()
    sums, rows = collections.Counter(), {}
    draw = random.Random(5)
    ids = [draw.randrange(3, 320) for _ in range(TOKENS)]
    formats = args.formats.split(",")
    for name, (plant, may_be, there, *splits) in FAULTS.items():
        if args.only not in name or name in NEED_PROBES and not args.probes:
            continue
        for family in args.models.split(","):
            if name in NEED_CROP and family == "gemma3_text":
                continue
            for format_ in formats:
                if format_ not in there:
                    continue
                for split in splits or ("last", "10,8"):
                    model = model_of(family, format_)
                    (plant() if plant in FACTORIES else plant)(model)
                    with tempfile.TemporaryDirectory() as folder:
                        try:
                            record_transformers.record_model(model, ids, record_transformers.cut(TOKENS, split), folder,
                                                             args.probes, known={"model": family})
                            if not args.probes:
                                healthy_in_transformers.without_probes(os.path.join(folder, "with.safetensors"))
                            verdict, told = judged(args.pkv, folder, may_be, name == "healthy")
                        finally:
                            undo()
                    sums[verdict] += 1
                    rows.setdefault((name, family), {}).setdefault(format_, []).append(verdict)
                    if verdict in ("wrong", "missed", "hidden") or args.only:
                        print(f"{verdict}: {name} | {family} | {format_} | {split}: {told}", flush=True)
    print(f"{'fault':<38}{'model':<14}" + "".join(f"{f:<18}" for f in formats))
    for (name, family), by in rows.items():
        print(f"{name:<38}{family:<14}" + "".join(f"{' '.join(by.get(f, [])):<18}" for f in formats))
    print(f"of {sum(sums.values())}: " + ", ".join(f"{w} {sums[w]}" for w in ("right", "unknown", "hidden", "missed", "wrong")))
    return 1 if sums["wrong"] or sums["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
