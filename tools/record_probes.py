"""The extra runs of record_transformers.py: what tells the causes of a wrong past apart without pkv's engine.

`record` feeds a model, over and over, nearly what was recorded: with another text in the past, with two pasts alive at
once, in a wider number format, and, where something parts, with masks and positions as a faulty implementation would
have them. docs/recorded.md lists what it writes; recorded_names.json has the names. Nothing is judged here: what is
measured only decides which runs are still worth their time and their place. A run that the model refuses is left out,
and said to be.
"""

import copy
import inspect
import json
import pathlib
import random

VERSION = 2
MOST_ROWS = 16        # new tokens that are looked at
MOST_CHANGED = 8      # tokens of the past that are changed, one at a time
ALL_COUNTS = 16       # lengths up to here are all tried
MOST_KEPT = 4         # suppositions that are written, the nearest
AT_ONCE = 8192        # tokens of one call of many suppositions
ROW_BYTES = 7 << 20   # of the rows of one run of the text
PROBE_BYTES = 3 << 19  # of the rows of one probe
PASTS = ("cache", "past_key_values", "cache_params", "state")  # what forwards call their past, the newest first
NAMES = json.loads((pathlib.Path(__file__).parent / "recorded_names.json").read_text())


class NoPast(Exception):
    """A model whose forward takes no past under any name that is known."""


class Runs:
    """Feeds one model. Logits come back on the CPU as [rows, vocab] of each text."""

    def __init__(self, model):
        self.model = model
        self.takes = inspect.signature(model.forward).parameters
        self.past_name = next((name for name in PASTS if name in self.takes), None)
        if self.past_name is None:
            raise NoPast(f"the forward of {type(model).__name__} takes no past: none of {', '.join(PASTS)} is among "
                         f"its parameters, so that nothing could be handed over, and no verdict would mean anything")
        self.count = 0  # times that a text was fed
        self.left_out = []

    def call(self, texts, past=None, rows=None, hidden=False, **more):
        """The output of one call; `rows`: places in the call whose logits are wanted."""
        import torch

        texts = texts if isinstance(texts[0], list) else [texts]
        more = dict(more)
        if past is not None:
            more[self.past_name] = past
        if hidden:
            more["output_hidden_states"] = True
        if rows is not None and "logits_to_keep" in self.takes:
            more["logits_to_keep"] = torch.tensor(rows, device=self.model.device)
        self.count += past is None
        with torch.no_grad():
            out = self.model(input_ids=torch.tensor(texts, device=self.model.device), use_cache=True, **more)
        given = out.logits
        if rows is not None and given.shape[1] != len(rows):
            given = given[:, rows]
        return out, [own.detach().cpu() for own in given]

    def whole(self, ids, rows=None, **more):
        return self.call(ids, rows=rows, **more)[1][0]

    def past_of(self, texts):
        out, _ = self.call(texts, rows=[0])
        return self.past_in(out)

    def past_in(self, out):
        for name in (self.past_name, *PASTS):
            if getattr(out, name, None) is not None:
                return getattr(out, name)
        return None

    def after(self, prefix, rest, **more):
        return self.call(rest, past=self.past_of(prefix), **more)[1][0]

    def attempt(self, what, run):
        """None, and a line on it, where the model refuses."""
        try:
            return run()
        except (TypeError, ValueError, RuntimeError, NotImplementedError, IndexError, AttributeError, KeyError,
                AssertionError) as error:
            lines = str(error).splitlines()
            self.left_out.append(f"{what}: {type(error).__name__}{': ' + lines[0] if lines else ''}")
            return None


def hidden_of(out):
    """[layers + 1, tokens, width]: as embedded, then after each layer; the last as transformers gives it, normalised."""
    import torch

    states = torch.stack([state[0] for state in out.hidden_states]).cpu()
    return states.float() if states.dtype == torch.float64 else states


def past_length(past):
    """Tokens in the past that the library handed over; 0 for none, -1 where it does not say."""
    if past is None:
        return 0
    try:
        if hasattr(past, "get_seq_length"):
            return int(past.get_seq_length())
        # versions before 4.36: tuples of (keys, values); Falcon of 2023 puts the length second to last
        if isinstance(past, tuple) and past and isinstance(past[0], tuple):
            return int(past[0][0].shape[-2])
        return -1 if len(past) else 0
    except Exception:  # of a state, which has no length
        return -1


def crop(past, to):
    """Cuts a past back to `to` tokens; the sign of what is handed over has changed with the versions."""
    if not hasattr(past, "crop"):
        raise ValueError(f"a {type(past).__name__} cannot be cut")
    if getattr(past, "is_croppable", True) is False:
        raise ValueError("the past says that it cannot be cut")
    try:
        past.crop(to - past_length(past))
    except (TypeError, ValueError, RuntimeError):
        past.crop(to)


def another_text(model, ids):
    """As long, other tokens everywhere; no padding, which moves positions."""
    draw = random.Random(1)
    vocab = getattr(model.config.get_text_config(), "vocab_size", None) or max(ids) + 1
    most = max(max(ids), min(8, vocab - 1))
    padding = getattr(model.config, "pad_token_id", None)
    return [draw.choice([t for t in range(most + 1) if t not in (i, padding)]) for i in ids]


def first_position(model):
    """Position of the first token: 0, but behind the padding's for RoBERTa and its kin."""
    kin = any(hasattr(m, "create_position_ids_from_input_ids") for m in model.modules())
    return (getattr(model.config, "pad_token_id", None) or 0) + 1 if kin else 0


def apart(a, b):
    return float((a.double() - b.double()).abs().max())


def explained(seen, right, simulated):
    """Share of the difference that a simulation explains."""
    whole = (seen.double() - right.double()).norm()
    return 1 - float((seen.double() - simulated.double()).norm() / whole) if whole > 0 else 0


def steps(dtype):
    """Of the numbers of a format, relative to their size; logits are written in fp32 at most."""
    import torch

    return max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)


# --- Which rows ---------------------------------------------------------------------------------------------------

def rows_of_call(n, past, vocab):
    """How many new tokens are looked at."""
    return max(1, min(n - past, MOST_ROWS, PROBE_BYTES // (4 * vocab)))


def rows_to_keep(n, pieces, vocab):
    """Places of the text whose logits are written; all, where that is not too much."""
    most = max(ROW_BYTES // (4 * vocab), 8)
    if n <= most:
        return list(range(n))
    past = n - pieces[-1]
    wanted = list(range(past, past + rows_of_call(n, past, vocab))) + [n - 1]
    start = 0
    for length in pieces:
        wanted += [start, start + length - 1]
        start += length
    wanted += [i * (n - 1) // (most - 1) for i in range(most)]
    return sorted(set(list(dict.fromkeys(wanted))[:most]))


def places_of_changes(n):
    return sorted({1, max(n // 2, 1), n - 1})


def rows_before(at, n, rows):
    """Places before a changed token that are looked at."""
    return [r for r in rows if r < at] if len(rows) == n else sorted({0, at // 2, at - 1})


# --- What each cause would have given -----------------------------------------------------------------------------

def counts(n, past):
    all_of_them = set(range(1, ALL_COUNTS + 1))
    power = 2 * ALL_COUNTS
    while power <= n + 1:
        all_of_them |= {power - 1, power, power + 1}
        power *= 2
    all_of_them |= {past + d for d in range(-2, 3)} | {n + d for d in range(-2, 3)}
    return sorted(c for c in all_of_them if 1 <= c <= n)


def masks(n, past):
    """Which keys k a new token q sees, by the name of the cause."""
    causes = {"past-ignored": lambda q, k: past <= k <= q, "top-left-mask": lambda q, k: k <= q - past}
    if n - past > 1:
        causes["later-tokens-seen"] = lambda q, k: True
    if past > 1:
        causes["last-of-past-lost"] = lambda q, k: k <= q and k != past - 1
    return causes


def masks_with_numbers(n, past):
    causes = {}
    for c in counts(n, past):
        causes[f"window={c}"] = lambda q, k, c=c: q - c < k <= q
        if n - past > 1:
            causes[f"window-of-call={c}"] = lambda q, k, c=c: min(n - c, q) <= k <= q
        if c < past:  # all of them dropped is a past that is ignored
            causes[f"first-dropped={c}"] = lambda q, k, c=c: c <= k <= q
    return causes


def positions(n, past):
    """Position of a new token q, by the name of the cause."""
    causes = {"position-restarted": lambda q: q - past, "position-one-far": lambda q: q + 1,
              "position-one-short": lambda q: q - 1}
    if n - past > 1:
        causes["position-frozen"] = lambda q: past
    return causes


def positions_with_numbers(n, past):
    causes = {}
    for c in counts(n, past):
        if c < n - 2:  # of the last token alone, that is one short
            causes[f"position-stops={c}"] = lambda q, c=c: min(q, c)
        if 2 <= c <= ALL_COUNTS // 2:
            causes[f"position-from-padding={c}"] = lambda q, c=c: q + c
    return causes


def causal(q, k):
    return k <= q


class Suppositions:
    """Calls of the whole text with masks and positions handed over, many variants of them in one batch."""

    def __init__(self, runs, ids, past):
        config = runs.model.config.get_text_config()
        self.runs, self.ids, self.past, self.config = runs, ids, past, config
        self.can_mask = "flash" not in (getattr(config, "_attn_implementation", None) or "")
        self.can_place = "position_ids" in runs.takes
        kinds = set(getattr(config, "layer_types", None) or [])
        self.kinds = sorted(kinds & {"full_attention", "sliding_attention", "chunked_attention"})
        self.window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)

    def mask(self, sees, kind):
        """Added to the scores, [1, n, n]: 0 where a token sees a key. Tokens of the past see what came before them, and
        layers keep the windows that the model has."""
        import torch

        n, past = len(self.ids), self.past
        q, k = torch.arange(n)[:, None], torch.arange(n)[None, :]
        seen = torch.tensor([[causal(i, j) if i < past else bool(sees(i, j)) for j in range(n)] for i in range(n)])
        if kind == "sliding_attention" and self.window:
            seen &= q - k < self.window
        if kind == "chunked_attention" and self.window:
            seen &= q // self.window == k // self.window
        least = torch.finfo(self.runs.model.dtype).min
        return torch.zeros(n, n, dtype=self.runs.model.dtype).masked_fill(~seen, least)[None]

    def handed(self, variants, with_mask, with_places):
        import torch

        model, n, more = self.runs.model, len(self.ids), {}
        if with_mask:
            kinds = self.kinds or (["sliding_attention"] if self.window else ["full_attention"])
            by_kind = {kind: torch.stack([self.mask(sees or causal, kind) for sees, _ in variants]).to(model.device)
                       for kind in kinds}
            more["attention_mask"] = by_kind if len(kinds) > 1 else by_kind[kinds[0]]
        if with_places:
            first = first_position(model)
            at = [[first + (q if q < self.past or place is None else place(q)) for q in range(n)]
                  for _, place in variants]
            known = getattr(self.config, "max_position_embeddings", None)
            if known is not None and max(map(max, at)) >= known:
                raise ValueError("beyond the table of positions")
            more["position_ids"] = torch.tensor(at, device=model.device)
        return more

    def run(self, variants, rows, with_mask=True, with_places=True):
        """Logits of each variant, a pair (sees, place) of which either may be None."""
        n, all_of_them = len(self.ids), []
        most = max(1, AT_ONCE // n)
        at = list(range(self.past, self.past + rows))
        with_mask, with_places = with_mask and self.can_mask, with_places and self.can_place
        for start in range(0, len(variants), most):
            some = variants[start:start + most]
            with whole_masks(self.runs.model):
                _, logits = self.runs.call([self.ids] * len(some), rows=at,
                                           **self.handed(some, with_mask, with_places))
            all_of_them += logits
        return all_of_them


class whole_masks:
    """BLOOM builds its bias from a mask of one row for each text; while the masks are whole ones, from none."""

    def __init__(self, model):
        self.bodies = [m for m in model.modules() if hasattr(m, "build_alibi_tensor")]

    def __enter__(self):
        import torch

        for body in self.bodies:
            own = body.build_alibi_tensor

            def of_rows(mask, *args, own=own, **more):
                if mask.ndim == 4:
                    mask = torch.ones(mask.shape[0], mask.shape[-1], device=mask.device, dtype=torch.long)
                return own(mask, *args, **more)

            body.build_alibi_tensor = of_rows

    def __exit__(self, *_):
        for body in self.bodies:
            del body.build_alibi_tensor


def suppose(runs, ids, past, rows, seen, right, noise):
    """(tensors, names of all that was tried). `noise`: how far roundings move a logit."""
    by = Suppositions(runs, ids, past)
    n, tensors, tried = len(ids), {}, {}

    def heeded(name, **which):
        got = runs.attempt(f"probe.{name}", lambda: by.run([(causal, None)], rows, **which)[0])
        return got is not None and apart(got, right) <= noise, got

    both, got = heeded("right_mask and probe.right_positions") if by.can_mask and by.can_place else (False, None)
    if both:
        tensors["probe.right_mask"] = tensors["probe.right_positions"] = got
    else:
        if by.can_mask:
            ok, got = heeded("right_mask", with_places=False)
            by.can_mask = ok
            tensors["probe.right_mask"] = got
        if by.can_place:
            ok, got = heeded("right_positions", with_mask=False)
            by.can_place = ok
            tensors["probe.right_positions"] = got
    heed_masks, heed_places = by.can_mask, by.can_place

    def attempt(variants):
        """Best share explained, after all of `variants` were run: {name: (sees, place)}."""
        names = [name for name in variants if name not in tried]
        logits = runs.attempt("suppose." + " ".join(names), lambda: by.run([variants[x] for x in names], rows))
        for name, own in zip(names, logits or []):
            tried[name] = (explained(seen, right, own), apart(seen, own), own)
        return max((share for share, _, _ in tried.values()), default=0)

    def found():
        return any(share >= 0.5 and far <= noise for share, far, _ in tried.values())

    plain_masks = masks(n, past) if heed_masks else {}
    plain_places = positions(n, past) if heed_places else {}
    more_masks = masks_with_numbers(n, past) if heed_masks else {}
    more_places = positions_with_numbers(n, past) if heed_places else {}
    if by.config is not None and heed_places:  # not beyond the table of positions
        known = getattr(by.config, "max_position_embeddings", None)
        fits = lambda place: known is None or max(place(q) for q in range(past, n)) + first_position(runs.model) < known
        plain_places = {name: place for name, place in plain_places.items() if fits(place)}
        more_places = {name: place for name, place in more_places.items() if fits(place)}

    stage = {name: (sees, None) for name, sees in plain_masks.items()}
    stage |= {name: (None, place) for name, place in plain_places.items()}
    stage |= {f"{m}+{p}": (plain_masks[m], place) for p, place in plain_places.items()
              for m in ("past-ignored", "top-left-mask", "later-tokens-seen") if m in plain_masks}
    if stage:
        attempt(stage)
    if not found() and (more_masks or more_places):
        attempt({name: (sees, None) for name, sees in more_masks.items()} |
                {name: (None, place) for name, place in more_places.items()})
    if not found():  # two at once, one of them with a number
        best = lambda some: max(some, key=lambda name: tried[name][0] if name in tried else -9, default=None)
        place, mask = best(plain_places), best([m for m in plain_masks if m in ("past-ignored", "top-left-mask")])
        pairs = {}
        if place is not None:
            pairs |= {f"{m}+{place}": (sees, plain_places[place]) for m, sees in more_masks.items()
                      if "of-call" not in m}
        if mask is not None:
            pairs |= {f"{mask}+{p}": (plain_masks[mask], own) for p, own in more_places.items()}
        if pairs:
            attempt(pairs)
    nearest = sorted(tried, key=lambda name: -tried[name][0])[:MOST_KEPT]
    tensors |= {f"suppose.{name}": tried[name][2] for name in nearest if tried[name][0] > 0}
    if "past-ignored" in tried:  # however far: it shows whether masks are heeded at all
        tensors["suppose.past-ignored"] = tried["past-ignored"][2]
    without_numbers = lambda name: "+".join(part.split("=")[0] for part in name.split("+"))
    return ({name: t for name, t in tensors.items() if t is not None}, sorted({without_numbers(x) for x in tried}),
            found())


# --- The runs -----------------------------------------------------------------------------------------------------

def changes(runs, ids, other, past, rows):
    """Tokens of the past changed one at a time, with the past and without it, all in one batch: which of them the new
    tokens see."""
    half = MOST_CHANGED // 2
    at = list(range(past)) if past <= MOST_CHANGED else list(range(half)) + list(range(past - half, past))
    texts = [ids[:i] + [other[i]] + ids[i + 1:] for i in at]
    whole = runs.call(texts, rows=list(range(past, past + rows)))[1]
    after = runs.call([t[past:] for t in texts], past=runs.past_of([t[:past] for t in texts]),
                      rows=list(range(rows)))[1]
    return {f"probe.changed.{i}": a for i, a in zip(at, after)} | {
        f"probe.changed_whole.{i}": w for i, w in zip(at, whole)}


def second_uses(runs, ids, other, past, rows, tensors, metadata):
    """A batch of two with a past, a copy that goes on while the other is fed, a past that was longer."""
    prefix, rest, first = ids[:past], ids[past:], list(range(rows))
    other_prefix, other_rest = other[:past], other[past:]
    go_on = lambda kept, text=rest: runs.call(text, past=kept, rows=first)[1]

    def in_batch():
        both = runs.past_of([prefix, other_prefix])
        tensors["probe.batched_past"], tensors["probe.batched_other_past"] = go_on(both, [rest, rest])

    def forked():
        original = runs.past_of(prefix)
        fork = copy.deepcopy(original)
        go_on(fork)
        go_on(original, other_rest)
        tensors["probe.forked"] = go_on(fork)[0]
        at = list(range(len(ids), len(ids) + rows))
        tensors["probe.forked_whole"] = runs.whole(ids + rest, rows=at)

    def cropped():
        longer = runs.past_of(prefix + other_rest)
        crop(longer, past)
        metadata["probe_cropped_length"] = str(past_length(longer))
        tensors["probe.cropped"] = go_on(longer)[0]

    for run in (in_batch, forked, cropped):
        runs.attempt(f"probe.{run.__name__}", run)


def wide_format(model):
    """None where the model cannot be run in a format of twice the bits."""
    import torch

    quantized = getattr(model, "is_quantized", False) or getattr(model, "quantization_method", None)
    if quantized or model.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return None
    return torch.float64 if model.dtype == torch.float32 else torch.float32


class in_wider_format:
    """The model in a wider format, its experts one at a time, since grouped products take no doubles."""

    def __init__(self, model, dtype):
        self.model, self.narrow, self.wide = model, model.dtype, dtype

    def __enter__(self):
        import torch

        self.kept = {name: b.clone() for name, b in self.model.named_buffers() if b.is_floating_point()}
        self.dtypes = {name: t.dtype for name, t in self.model.named_parameters()}
        self.model.to(self.wide)
        config = self.model.config.get_text_config()
        self.experts = getattr(config, "_experts_implementation", None)
        if self.experts is not None and hasattr(self.model, "set_experts_implementation"):
            self.model.set_experts_implementation("eager")
        else:
            self.experts = None

    def __exit__(self, *_):
        import torch

        if self.experts is not None:
            self.model.set_experts_implementation(self.experts)
        for name, t in self.model.named_parameters():
            t.data = t.data.to(self.dtypes[name])
        for name, buffer in self.model.named_buffers():
            if name in self.kept:
                buffer.data = self.kept[name]


def fed(runs, ids, pieces, rows, hidden=False):
    """(logits of `rows`, length of the past that each call returned, the last past, hidden states or None)"""
    import torch

    past, logits, states, lengths, start = None, [], [], [], 0
    for length in pieces:
        own = [r - start for r in rows if start <= r < start + length]
        out, given = runs.call(ids[start:start + length], past=past, rows=own or [length - 1], hidden=hidden)
        if own:
            logits.append(given[0])
        if hidden:
            states.append(hidden_of(out))
        past = runs.past_in(out)
        lengths.append(past_length(past))
        start += length
    return torch.cat(logits), lengths, past, torch.cat(states, dim=1) if hidden else None


def wide_pair(runs, ids, pieces, rows, tensors, metadata, past, count):
    """Both runs in a wider format, and how far their states are apart after each layer. None, or (with, without)."""
    import torch

    dtype = wide_format(runs.model)
    if dtype is None:
        runs.left_out.append(f"probe.wide: a model in {runs.model.dtype} is not run in a wider format")
        return None
    with in_wider_format(runs.model, dtype):
        hidden = runs.attempt("states", lambda: fed(runs, ids, [len(ids)], rows, hidden=True))
        without = hidden or runs.attempt("probe.wide_without", lambda: fed(runs, ids, [len(ids)], rows))
        other = None if without is None else runs.attempt(
            "probe.wide_with", lambda: fed(runs, ids, pieces, rows, hidden=hidden is not None))
    if other is None:
        return None
    metadata["probe_wide_format"] = str(dtype).removeprefix("torch.")
    tensors["probe.wide_without"], tensors["probe.wide_with"] = without[0], other[0]
    if hidden is not None and without[3].shape == other[3].shape:
        a, b = (s[:, past:past + count].double() for s in (without[3], other[3]))
        tensors["probe.states_apart"] = torch.stack([(a - b).abs().amax(2), a.abs().amax(2)], dim=2).float()
    return other[0], without[0]


def record(runs, ids, pieces, rows, recorded, right, keeps, hidden):
    """(tensors, metadata) to be added to the file of the run with the past. `rows`: places whose logits were recorded,
    with the past (`recorded`) and without it (`right`). `keeps`: a past was handed back."""
    import torch

    text, n, past = ids, len(ids), len(ids) - pieces[-1]
    vocab = recorded.shape[-1]
    count = rows_of_call(n, past, vocab)
    last = min(n, past + MOST_ROWS)
    other_text = another_text(runs.model, ids)
    ids, other = ids[:last], other_text[:last]
    if rows_of_call(n, past, vocab) < last - past:
        last = past + count
        ids, other = text[:last], other_text[:last]
    rest, first, new = ids[past:], list(range(count)), list(range(past, past + count))
    tensors, metadata = {}, {"probes": str(VERSION), "probe_past": str(past), "probe_rows": str(count)}
    listed = lambda some: ",".join(str(r) for r in some)

    def keep(name, run, at=None):
        got = runs.attempt(name, run)
        if got is None:
            return None
        tensors[name] = got
        if at is not None and at != list(range(n)):
            metadata[f"rows.{name}"] = listed(at)
        return got

    keep("probe.whole_again", lambda: runs.whole(text, rows=rows), rows)
    go_on = lambda kept: runs.call(rest, past=kept, rows=first)[1][0]

    def beside():  # two pasts alive at once
        a, b = runs.past_of(ids[:past]), runs.past_of(other[:past])
        tensors["probe.beside_another"], tensors["probe.other_past"] = go_on(a), go_on(b)

    def again():
        past_again = runs.past_of(ids[:past])
        logits, lengths = go_on(past_again), [past_length(past_again)]
        if keeps and lengths[0] == past:  # it says to be as it was
            tensors["probe.twice"] = go_on(past_again)
            lengths.append(past_length(past_again))
        if keeps and lengths[0] >= 0:
            metadata["probe_twice_lengths"] = listed(lengths)
        return logits

    runs.attempt("probe.beside_another", beside)
    seen = keep("probe.again", again)
    keep("probe.batched", lambda: runs.call([text, other_text], rows=new)[1][0])

    def texts():
        keep("suppose.new-tokens-alone", lambda: runs.whole(rest, rows=first))
        keep("suppose.past-of-another-text", lambda: runs.whole(other[:past] + rest, rows=new))

    for i in places_of_changes(n):
        changed, before = text[:i] + other_text[i:], rows_before(i, n, rows)
        if hidden:
            def run(changed=changed, before=before, i=i):
                out, logits = runs.call(changed, rows=before, hidden=True)
                tensors[f"probe.later.{i}.hidden"] = hidden_of(out)[:, :i]
                return logits[0]
            keep(f"probe.later.{i}", run, before if before != list(range(i)) else None)
        else:
            keep(f"probe.later.{i}", lambda c=changed, b=before: runs.whole(c, rows=b),
                 before if before != list(range(i)) else None)
    if keeps:
        second_uses(runs, ids, other, past, count, tensors, metadata)
    wide = wide_pair(runs, text, pieces, rows, tensors, metadata, past, count)
    if wide is not None and rows != list(range(n)):
        metadata["rows.probe.wide_without"] = metadata["rows.probe.wide_with"] = listed(rows)

    # What each cause would have given: in the wider format where the fault is there, too, since less is rounded there.
    right_rows = right[[rows.index(r) for r in new]]
    seen_rows = recorded[[rows.index(r) for r in new]] if len(pieces) == 2 else None
    scale = float(right.abs().max())
    dtype = runs.model.dtype
    parted = lambda a, b, format_, times: apart(a, b) > times * steps(format_) * scale
    few = 16 if dtype in (torch.float32, torch.float64) else 4
    wide_parted = wide is not None and parted(wide[0], wide[1], wide_format(runs.model), 16)
    single_use_right = True
    if keeps and wide_parted:
        wide_dtype = wide_format(runs.model)
        with in_wider_format(runs.model, wide_dtype):
            texts()
            at = [rows.index(r) for r in new]
            probed = wide[0][at] if len(pieces) == 2 else runs.after(ids[:past], rest, rows=first)
            metadata["supposed_for"] = "wide_with" if len(pieces) == 2 else "wide_again"
            if len(pieces) != 2:
                tensors["probe.wide_again"] = probed
            if parted(probed, wide[1][at], wide_dtype, 16):
                single_use_right = False
                add_suppositions(runs, ids, other, past, count, probed, wide[1][at], 16 * steps(wide_dtype) * scale,
                                 tensors, metadata)
    else:
        texts()
        candidates = {"recorded": seen_rows, "again": seen, "cropped": tensors.get("probe.cropped")}
        for name, own in candidates.items():  # what is not kept cannot be misread
            if own is None or not keeps or not parted(own, right_rows, dtype, few):
                continue
            single_use_right = name == "cropped"
            if name != "recorded":
                metadata["supposed_for"] = name
            add_suppositions(runs, ids, other, past, count, own, right_rows, 2 * few * steps(dtype) * scale, tensors,
                             metadata)
            break
    for name, cause, whole in (("twice", "past-changed-in-place", ids + rest),
                               ("forked", "past-changed-in-place", ids[:past] + other[past:] + rest),
                               ("cropped", "past-not-rewound", ids[:past] + other[past:] + rest)):
        got = tensors.get(f"probe.{name}")
        if not single_use_right or got is None:
            continue
        if parted(got, tensors.get(f"probe.{name}_whole", right_rows), dtype, few):
            at = list(range(len(whole) - len(rest), len(whole) - len(rest) + count))
            keep(f"suppose.{cause}", lambda whole=whole, at=at: runs.whole(whole, rows=at))
    metadata["runs"] = str(runs.count)
    tensors = {name: (t.float() if t.dtype == torch.float64 else t).contiguous() for name, t in tensors.items()}
    return tensors, metadata


def add_suppositions(runs, ids, other, past, count, seen, right, noise, tensors, metadata):
    supposed, tried, found = suppose(runs, ids, past, count, seen, right, noise)
    tensors |= supposed
    metadata["tried"] = " ".join(tried)
    if not found:
        more = runs.attempt("probe.changed", lambda: changes(runs, ids, other, past, count))
        tensors |= more or {}
