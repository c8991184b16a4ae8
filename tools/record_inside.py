"""What record_probes.py sees and changes inside of a model while it is fed: the routers of experts, what each head of
attention gives, the mask of one layer, and the past's keys and values as a faulty program may read them.

The last of these is the trick of this file. A past cannot be edited in a program that reads pasts wrongly: its own
fault would be in the result, too. So the text is fed whole, without a past, and what would be the past stands in it
twice: once as it is, seen by itself, and once as a copy that only the new tokens see. The copy's keys and values are
edited on their way into attention (`Cache.update`). Where nothing is edited the right logits must come out
(`probe.right_copy`); of a model that is not to be fed so pkv makes nothing of it.
"""

import contextlib
import re


def layer_of(name):
    found = re.search(r"\.(\d+)\.", name)
    return int(found.group(1)) if found else 0


# --- Routers ------------------------------------------------------------------------------------------------------

class Routers:
    """Scores by which the experts of a call were chosen, and those that were, while it is listened to."""

    def __init__(self, model):
        self.modules = [(layer_of(name), m) for name, m in model.named_modules()
                        if re.search(r"Router$|TopKGate$|TopkGate$", type(m).__name__)]
        self.calls = []

    def __bool__(self):
        return bool(self.modules)

    @contextlib.contextmanager
    def listening(self):
        self.calls, seen = [], {}

        def hear(layer, module):
            def hook(_, args, out):
                scores = scores_of(module, out)
                if scores is not None:
                    seen.setdefault(layer, []).append(scores)
            return hook

        hooks = [m.register_forward_hook(hear(layer, m)) for layer, m in self.modules]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()


def scores_of(module, out):
    """(scores [rows, experts], chosen [rows, k]) of what a router gave; None where it cannot be told."""
    import torch

    out = out if isinstance(out, tuple) else (out,)
    experts = getattr(module, "num_experts", None) or getattr(module, "n_routed_experts", None)
    floats = [t for t in out if torch.is_tensor(t) and t.is_floating_point() and t.ndim == 2 and
              (experts is None or t.shape[1] == experts) and bool(torch.isfinite(t).all())]
    chosen = next((t for t in out if torch.is_tensor(t) and not t.is_floating_point() and t.ndim == 2), None)
    if not floats:
        return None
    scores = floats[0].detach().float()
    bias = getattr(module, "e_score_correction_bias", None)
    if bias is not None:
        scores = scores.sigmoid() + bias.float()
    if chosen is None:
        top = getattr(module, "top_k", None)
        if top is None:
            return None
        chosen = scores.topk(top, dim=-1).indices
    return scores.cpu(), chosen.detach().cpu()


def exchanges(without, other):
    """[layers, tokens, 3] of two runs of the same tokens: how near the scores of two experts were of which one run took
    the first and the other the second (-1: both took the same), how far scores moved, the largest score. And the
    number of each layer. None where there is nothing to compare."""
    import torch

    layers, rows = [], []
    for layer in sorted(set(without) & set(other)):
        (a, taken_a), (b, taken_b) = ([torch.cat(parts) for parts in zip(*run[layer])] for run in (without, other))
        if a.shape != b.shape or taken_a.shape != taken_b.shape:
            return None
        moved, largest, gaps = (a - b).abs().amax(1), a.abs().amax(1), torch.full((len(a),), -1.0)
        for t in range(len(a)):
            one, two = set(taken_a[t].tolist()), set(taken_b[t].tolist())
            if one != two:
                gaps[t] = max(float(a[t, i] - a[t, j]) for i in one - two for j in two - one)
                gaps[t] = gaps[t].abs()
        layers.append(layer)
        rows.append(torch.stack([gaps, moved, largest], dim=1))
    return (torch.stack(rows), layers) if rows else None


# --- Heads --------------------------------------------------------------------------------------------------------

OUTPUTS = ("o_proj", "out_proj", "dense", "c_proj", "wo", "proj_out")


def attentions(model):
    """(layer, module) of attention, in order; of models that say which layer a module is of."""
    return sorted(((m.layer_idx, m) for m in model.modules()
                   if "Attention" in type(m).__name__ and isinstance(getattr(m, "layer_idx", None), int)),
                  key=lambda pair: pair[0])


@contextlib.contextmanager
def heads_of(model):
    """{layer: [what its heads gave, [rows, heads * size], one for each call]} while it is fed."""
    seen, hooks = {}, []
    for layer, module in attentions(model):
        output = next((getattr(module, name) for name in OUTPUTS if hasattr(module, name)), None)
        if output is None:
            continue
        hooks.append(output.register_forward_pre_hook(
            lambda _, args, layer=layer: seen.setdefault(layer, []).append(args[0][0].detach().cpu())))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def heads_apart(without, other, heads, first, count):
    """[layers, count, 2 * heads]: the largest distance of what a head gives, and its size; None where it is not to be
    seen."""
    import torch

    if not without or set(without) != set(other) or not heads:
        return None
    layers = []
    for layer in sorted(without):
        a, b = (torch.cat(run[layer])[first:first + count].double() for run in (without, other))
        if a.shape != b.shape or a.shape[0] != count or a.shape[1] % heads:
            return None
        by_head = lambda t: t.abs().reshape(count, heads, -1).amax(2)
        layers.append(torch.cat([by_head(a - b), by_head(a)], dim=1))
    return torch.stack(layers).float()


# --- Masks of one layer -------------------------------------------------------------------------------------------

@contextlib.contextmanager
def masks_by_layer(model, change):
    """`change(layer, mask)` -> the mask [texts, 1 or heads, rows, keys] that the layer is given instead."""
    import torch

    def hook_of(layer):
        def hook(module, args, kwargs):
            mask = kwargs.get("attention_mask")
            if torch.is_tensor(mask) and mask.ndim == 4:
                kwargs = {**kwargs, "attention_mask": change(layer, mask)}
                return args, kwargs
            return None
        return hook

    hooks = [m.register_forward_pre_hook(hook_of(layer), with_kwargs=True) for layer, m in attentions(model)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


# --- Edited pasts -------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def edited_keys(edit, groups=None, model=None):
    """`edit(layer, keys, values)` -> both [texts, heads, tokens, size] as attention reads them. `groups`: how many
    queries share a head, as modules are to be told."""
    from transformers import cache_utils

    own = cache_utils.Cache.update

    def update(self, keys, values, layer, *args, **kwargs):
        return edit(layer, *own(self, keys, values, layer, *args, **kwargs))

    told = [m for _, m in attentions(model)] if groups is not None else []
    kept = [getattr(m, "num_key_value_groups", None) for m in told]
    cache_utils.Cache.update = update
    try:
        for m in told:
            m.num_key_value_groups = groups
        yield
    finally:
        cache_utils.Cache.update = own
        for m, before in zip(told, kept):
            m.num_key_value_groups = before


def quantised(t, levels, dim, asymmetric=False):
    """Along `dim` (or dims) one scale: the largest number is `levels`; or both ends are, of 2 * levels steps."""
    if asymmetric:
        least, most = t.amin(dim, keepdim=True), t.amax(dim, keepdim=True)
        step = ((most - least) / (2 * levels + 1)).clamp(min=1e-9)
        return ((t - least) / step).round() * step + least
    step = t.abs().amax(dim, keepdim=True).clamp(min=1e-9) / levels
    return (t / step).round() * step


def in_8_bits(t, name, scaled):
    import torch

    dtype = getattr(torch, name, None)
    if dtype is None:
        raise ValueError(f"this PyTorch has no {name}")
    most = torch.finfo(dtype).max
    by = (t.abs().amax((-1, -2), keepdim=True).clamp(min=1e-9) / most) if scaled else 1
    return (t / by).clamp(-most, most).to(dtype).to(t.dtype) * by


class Calibrated:
    """8 bits of a tensor as a whole, by the scale that its past was given: of the past, then of the new tokens."""

    def __init__(self):
        self.by = None

    def __call__(self, keys, values):
        import torch

        dtype = torch.float8_e4m3fn
        by = self.by or [(t.abs().amax().float() / torch.finfo(dtype).max).clamp(min=1e-30) for t in (keys, values)]
        self.by = None if self.by else by
        return [((t.float() / b).to(dtype).float() * b).to(t.dtype) for t, b in zip((keys, values), by)]


def edits(past):
    """Of the keys and values that a layer holds, [heads, held, size]; `past` tokens at most: `edit(keys, values)` by the name of the cause and a mark that
    tells its variants apart."""
    import torch

    def both(change):
        return lambda k, v: (change(k), change(v))

    def cleared(start, length):
        def clear(t):
            t = t.clone()
            t[:, start:start + length] = 0
            return t
        return both(clear)

    def interleaved(t):
        return t.contiguous().reshape(t.shape[1], t.shape[0], -1).transpose(0, 1)

    def rounded(name):
        return both(lambda t: t.to(getattr(torch, name)).to(t.dtype))

    all_of_them = {
        "heads-shifted": both(lambda t: t.roll(-1, 0)), "heads-shifted|back": both(lambda t: t.roll(1, 0)),
        "values-shifted": lambda k, v: (k, v.roll(-1, 1)), "values-shifted|back": lambda k, v: (k, v.roll(1, 1)),
        "rows-and-heads-swapped": both(interleaved), "keys-and-values-swapped": lambda k, v: (v, k),
        "past-in-fp16": rounded("float16"), "past-in-bf16": rounded("bfloat16")}
    for name, levels in (("past-in-int8", 127), ("past-in-int4", 7)):
        for mark, dim in (("", -1), ("|all", (-1, -2)), ("|channel", -2)):
            for more in ("", "|asymmetric"):
                all_of_them[name + mark + more] = both(
                    lambda t, levels=levels, dim=dim, more=more: quantised(t, levels, dim, bool(more)))
        all_of_them[name + "|keys by channel"] = lambda k, v, levels=levels: (
            quantised(k, levels, -2, True), quantised(v, levels, -1, True))
    for name in ("float8_e4m3fn", "float8_e5m2"):
        for scaled in (False, True):
            all_of_them[f"past-in-fp8|{name}{scaled}"] = both(
                lambda t, name=name, scaled=scaled: in_8_bits(t, name, scaled))
    turns = range(2, past - 1) if past <= 32 else [*range(2, 17), *range(past - 16, past - 1)]
    for by in turns:
        all_of_them[f"ring-out-of-order={by}"] = lambda k, v, by=by: (k, v.roll(-by, 1))
    for length in (1, 2, 4, 8, 16, 32):
        for start in range(0, past, length):
            if length == 1 or start + length <= past:
                all_of_them[f"zeros-in-past={start + 1}|{length}"] = cleared(start, length)
    return all_of_them


class Copies:
    """The text with its past twice, fed whole: originals, copies, an empty place, new tokens."""

    def __init__(self, by, most):
        """`by`: Suppositions, which hands masks over; `most`: tokens of a call."""
        self.by, self.ids, self.past, self.most = by, by.ids, by.past, most
        p, n = self.past, len(self.ids)
        self.tokens = self.ids[:p] + self.ids[:p] + self.ids[:1] + self.ids[p:]
        self.places = list(range(p)) + list(range(p)) + [p - 1] + list(range(p, n))
        self.first_new = 2 * p + 1

    def mask(self, kind, hole):
        """Added to the scores, [tokens, tokens]."""
        import torch

        p, total = self.past, len(self.tokens)
        seen = torch.zeros(total, total, dtype=torch.bool)
        at = torch.tensor(self.places)
        q, k = at[:, None], at[None, :]
        near = self.by.near(kind, q, k)
        rows, columns = torch.arange(total)[:, None], torch.arange(total)[None, :]
        old, new = rows < 2 * p, rows >= self.first_new
        seen |= old & (columns < p) & (k <= q)
        seen |= new & (columns >= p) & (columns < 2 * p)
        seen |= new & (columns >= self.first_new) & (k <= q)
        seen &= near
        if hole:
            seen |= new & (columns == 2 * p)
        seen[2 * p, 2 * p] = True  # the empty place sees itself, and nobody sees it
        least = torch.finfo(self.by.runs.model.dtype).min
        return torch.zeros(total, total, dtype=self.by.runs.model.dtype).masked_fill(~seen, least)

    def run(self, variants, rows):
        """Logits [rows, vocab] of each variant: {"edit": f, "all": bool, "scale": x, "hole": bool, "order": [kv head of
        each head], "far": how many places new tokens are too far}, all of which may be missing."""
        import torch

        model, p, total = self.by.runs.model, self.past, len(self.tokens)
        at, out, most = list(range(self.first_new, self.first_new + rows)), [], max(1, self.most // total)
        for start in range(0, len(variants), most):
            some = variants[start:start + most]

            def edit(layer, keys, values):
                if keys.shape[-2] != total:
                    return keys, values
                tiled = any("order" in v for v in some)
                groups = self.groups() if tiled else 1
                keys, values = (t.repeat_interleave(groups, 1) if tiled else t.clone() for t in (keys, values))
                for i, v in enumerate(some):
                    held = min(self.by.held.get(layer, p), p)  # that a layer with a window still holds
                    for part, change in ((slice(2 * p - held, 2 * p), v.get("edit")),
                                         (slice(self.first_new, total), v.get("edit") if v.get("all") else None)):
                        if change is not None and part.stop > part.start:
                            k, v_ = change(keys[i, :, part].clone(), values[i, :, part].clone())
                            keys[i, :, part], values[i, :, part] = k, v_
                    if v.get("hole"):
                        keys[i, :, 2 * p], values[i, :, 2 * p] = 0, 0
                    if "scale" in v:
                        keys[i, :, p:] *= v["scale"]
                    if "order" in v:  # heads were repeated: head h reads the first of another group
                        order = [h * groups for h in v["order"]]
                        keys[i, :, p:], values[i, :, p:] = keys[i, order, p:], values[i, order, p:]
                return keys, values

            kinds = self.by.mask_kinds()
            masks = {kind: torch.stack([self.mask(kind, v.get("hole")) for v in some])[:, None].to(model.device)
                     for kind in kinds}
            places = [[self.by.first + q + (v.get("far", 0) if i >= self.first_new else 0)
                       for i, q in enumerate(self.places)] for v in some]
            more = {"attention_mask": masks if len(kinds) > 1 else masks[kinds[0]]}
            if self.by.can_place:
                more["position_ids"] = torch.tensor(places, device=model.device)
            tiled = any("order" in v for v in some)
            with edited_keys(edit, 1 if tiled else None, model):
                out += self.by.runs.call([self.tokens] * len(some), rows=at, **more)[1]
        return out

    def groups(self):
        config = self.by.config
        return config.num_attention_heads // config.num_key_value_heads
