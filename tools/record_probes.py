"""The extra runs of `record_transformers.py --probes`: what tells the causes of a wrong past apart without pkv's engine.

`record` feeds a model, over and over, nearly what was recorded: with another text in the past, with one token changed,
with masks and positions as a faulty implementation would have them, all in one call. docs/recorded.md lists what it
writes. Nothing is judged here. A run that the model refuses is left out.
"""

import inspect
import random

VERSION = 1
MOST_ROWS = 16     # new tokens that are looked at
MOST_CHANGED = 8   # tokens of the past that are changed, one at a time
ALL_COUNTS = 16    # lengths up to here are all tried


class Runs:
    """Feeds one model. Logits come back on the CPU, in their own type: [tokens, vocab]."""

    def __init__(self, model):
        self.model = model
        self.takes = inspect.signature(model.forward).parameters

    def call(self, ids, **more):
        import torch

        rows = ids if isinstance(ids[0], list) else [ids]
        with torch.no_grad():
            return self.model(input_ids=torch.tensor(rows, device=self.model.device), use_cache=True, **more)

    def whole(self, ids, **more):
        return logits_of(self.call(ids, **more))

    def past_of(self, ids):
        return getattr(self.call(ids), "past_key_values", None)

    def after(self, prefix, rest):
        past = self.past_of(prefix)
        return self.whole(rest, **({} if past is None else {"past_key_values": past}))


def logits_of(out):
    import torch

    logits = out.logits[0].cpu()
    return logits.float() if logits.dtype == torch.float64 else logits


def hidden_of(out):
    """[layers + 1, tokens, width]: as embedded, then after each layer; the last as transformers gives it, normalised."""
    import torch

    states = torch.stack([state[0] for state in out.hidden_states]).cpu()
    return states.float() if states.dtype == torch.float64 else states


def another_text(model, ids):
    """As long, other tokens everywhere; no padding, which moves positions."""
    draw = random.Random(1)
    most = max(max(ids), min(8, model.config.vocab_size - 1))
    padding = model.config.pad_token_id
    return [draw.choice([t for t in range(most + 1) if t not in (i, padding)]) for i in ids]


def first_position(model):
    """Position of the first token: 0, but behind the padding's for RoBERTa and its kin."""
    kin = any(hasattr(m, "create_position_ids_from_input_ids") for m in model.modules())
    return (model.config.pad_token_id or 0) + 1 if kin else 0


def counts(n, past):
    all_of_them = set(range(1, ALL_COUNTS + 1))
    power = 2 * ALL_COUNTS
    while power <= n + 1:
        all_of_them |= {power - 1, power, power + 1}
        power *= 2
    all_of_them |= {past + d for d in range(-2, 3)} | {n + d for d in range(-2, 3)}
    return sorted(c for c in all_of_them if 1 <= c <= n)


def mask_causes(n, past):
    """Which keys k a new token q sees, by the name of the cause."""
    several = n - past > 1
    causes = {"past-ignored": lambda q, k: past <= k <= q, "top-left-mask": lambda q, k: k <= q - past}
    if several:
        causes["later-tokens-seen"] = lambda q, k: True
    for c in counts(n, past):
        causes[f"window={c}"] = lambda q, k, c=c: q - c < k <= q
        if several:
            causes[f"window-of-call={c}"] = lambda q, k, c=c: min(n - c, q) <= k <= q
        if c < past:  # all of them dropped is a past that is ignored
            causes[f"first-dropped={c}"] = lambda q, k, c=c: c <= k <= q
    return causes


def position_causes(n, past):
    """Position of a new token q, by the name of the cause."""
    causes = {"position-restarted": lambda q: q - past, "position-one-far": lambda q: q + 1,
              "position-one-short": lambda q: q - 1}
    if n - past > 1:
        causes["position-frozen"] = lambda q: past
    for c in counts(n, past):
        if c < n - 2:  # of the last token alone, that is one short
            causes[f"position-stops={c}"] = lambda q, c=c: min(q, c)
        if 2 <= c <= ALL_COUNTS // 2:
            causes[f"position-from-padding={c}"] = lambda q, c=c: q + c
    return causes


def mask_of(model, n, past, sees):
    """Added to the scores: 0 where a token sees a key. Tokens of the past see what came before them."""
    import torch

    seen = torch.tensor([[k <= q if q < past else bool(sees(q, k)) for k in range(n)] for q in range(n)])
    mask = torch.zeros(n, n, dtype=model.dtype).masked_fill(~seen, torch.finfo(model.dtype).min)
    return {"attention_mask": mask[None, None].to(model.device)}


def positions_of(model, n, past, position):
    import torch

    first = first_position(model)
    at = [first + (q if q < past else position(q)) for q in range(n)]
    known = getattr(model.config, "max_position_embeddings", None)
    if known is not None and max(at) >= known:
        raise ValueError("beyond the table of positions")
    return {"position_ids": torch.tensor([at], device=model.device)}


def suppositions(runs, ids, past, tensors):
    """What each cause would have given, had it been so; the whole text in one call."""
    model, n = runs.model, len(ids)
    can_mask = "flash" not in (getattr(model.config, "_attn_implementation", None) or "")
    masks = {name: mask_of(model, n, past, sees) for name, sees in mask_causes(n, past).items()} if can_mask else {}
    positions = {}
    if "position_ids" in runs.takes:
        tensors["probe.right_positions"] = lambda: runs.whole(ids, **positions_of(model, n, past, lambda q: q))[past:]
        positions = position_causes(n, past)
        if past > 1 and masks:  # where keys carry their position with them
            masks["last-of-past-lost"] = mask_of(model, n, past, lambda q, k: k <= q and k != past - 1)
    if masks:
        right = mask_of(model, n, past, lambda q, k: k <= q)
        tensors["probe.right_mask"] = lambda: runs.whole(ids, **right)[past:]
    for name, mask in masks.items():
        tensors[f"suppose.{name}"] = lambda mask=mask: runs.whole(ids, **mask)[past:]
    for name, position in positions.items():
        at = lambda position=position: positions_of(model, n, past, position)
        tensors[f"suppose.{name}"] = lambda at=at: runs.whole(ids, **at())[past:]
        for other in ("past-ignored", "top-left-mask", "later-tokens-seen"):
            if other in masks and "=" not in name:
                both = lambda at=at, mask=masks[other]: runs.whole(ids, **at(), **mask)[past:]
                tensors[f"suppose.{other}+{name}"] = both


def changes(runs, ids, other, past, tensors):
    """One token of the past changed at a time, with the past and without it: which of them the new tokens see."""
    half = MOST_CHANGED // 2
    at = list(range(past)) if past <= MOST_CHANGED else list(range(half)) + list(range(past - half, past))
    for i in at:
        changed = ids[:i] + [other[i]] + ids[i + 1:]
        tensors[f"probe.changed.{i}"] = lambda c=changed: runs.after(c[:past], c[past:])
        tensors[f"probe.changed_whole.{i}"] = lambda c=changed: runs.whole(c)[past:]


def later(runs, ids, other, hidden, tensors):
    """Later tokens changed: logits of those before must stay."""
    for i in sorted({1, max(len(ids) // 2, 1), len(ids) - 1}):
        changed = ids[:i] + other[i:]
        tensors[f"probe.later.{i}"] = lambda c=changed, i=i: runs.whole(c)[:i]
        if hidden:
            states = lambda c=changed, i=i: hidden_of(runs.call(c, output_hidden_states=True))[:, :i]
            tensors[f"probe.later.{i}.hidden"] = states


def twice(runs, ids, past, past_length):
    """The same past handed over twice: (logits of the second use, its length after each)."""
    kept = runs.past_of(ids[:past])
    if kept is None:
        return None
    runs.call(ids[past:], past_key_values=kept)
    first = past_length(kept)
    out = runs.call(ids[past:], past_key_values=kept)
    return logits_of(out), [first, past_length(kept)]


def wider(runs, ids, past):
    """The same two runs in a format of twice the bits; the model stays in it. (without, with, format)"""
    import torch

    quantized = getattr(runs.model, "is_quantized", False) or getattr(runs.model, "quantization_method", None)
    if quantized or runs.model.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return None
    dtype = torch.float64 if runs.model.dtype == torch.float32 else torch.float32
    runs.model.to(dtype)
    return runs.whole(ids)[past:], runs.after(ids[:past], ids[past:]), str(dtype).removeprefix("torch.")


def attempt(what, run):
    """None, and a line on it, where the model refuses."""
    try:
        return run()
    except (TypeError, ValueError, RuntimeError, NotImplementedError, IndexError, AttributeError) as error:
        print(f"left out: {what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return None


def record(model, ids, past, past_length, hidden):
    """(tensors, metadata) to be added to the file of the run with the past; `past`: tokens before the last piece."""
    runs, last = Runs(model), min(len(ids), past + MOST_ROWS)
    text, other = ids, another_text(model, ids)
    ids, short = ids[:last], other[:last]
    rest = ids[past:]
    todo = {"probe.whole_again": lambda: runs.whole(text),
            "probe.other_past": lambda: runs.after(short[:past], rest),
            "probe.again": lambda: runs.after(ids[:past], rest),
            "probe.batched": lambda: logits_of(runs.call([text, other]))[past:last],
            "suppose.new-tokens-alone": lambda: runs.whole(rest),
            "suppose.past-of-another-text": lambda: runs.whole(short[:past] + rest)[past:],
            "suppose.past-changed-in-place": lambda: runs.whole(ids + rest)[last:]}
    if past_length(runs.past_of(ids[:past])) > 0:  # what is not kept cannot be misread
        suppositions(runs, ids, past, todo)
        changes(runs, ids, short, past, todo)
    later(runs, text, other, hidden, todo)
    tensors = {name: attempt(name, run) for name, run in todo.items()}
    metadata = {"probes": str(VERSION), "probe_past": str(past)}
    used = attempt("probe.twice", lambda: twice(runs, ids, past, past_length))
    if used is not None:
        tensors["probe.twice"] = used[0]
        metadata["probe_twice_lengths"] = ",".join(str(n) for n in used[1])
    wide = attempt("probe.wide", lambda: wider(runs, ids, past))
    if wide is not None:
        tensors["probe.wide_without"], tensors["probe.wide_with"], metadata["probe_wide_format"] = wide
    tensors = {name: t.contiguous() for name, t in tensors.items() if t is not None}
    return tensors, metadata
