"""The extra runs of record_transformers.py: what tells the causes of a wrong past apart without pkv's engine.

`record` feeds a model, over and over, nearly what was recorded: with another text in the past, with two pasts alive at
once, in a wider number format, and, where something parts, with masks and positions as a faulty implementation would
have them. docs/recorded.md lists what it writes; recorded_names.json has the names. Nothing is judged here: what is
measured only decides which runs are still worth their time and their place. A run that the model refuses is left out,
and said to be.
"""

import contextlib
import copy
import inspect
import json
import pathlib
import random

import record_inside

VERSION = 2
MOST_ROWS = 16        # new tokens that are looked at
MOST_CHANGED = 8      # tokens of the past that are changed, one at a time
ALL_COUNTS = 16       # lengths up to here are all tried
MOST_KEPT = 4         # suppositions that are written, the nearest
MOST_SINGLE = 3       # tokens of the past that are fed one at a time
MOST_RUNS = 25        # times that a text is fed; what would take more is left out
AT_ONCE = 12288       # tokens of one call of many suppositions
ROW_BYTES = 7 << 20   # of the rows of one run of the text
PROBE_BYTES = 3 << 19  # of the rows of one probe
PASTS = ("cache", "past_key_values", "cache_params", "state")  # what forwards call their past, the newest first
NAMES = json.loads((pathlib.Path(__file__).parent / "recorded_names.json").read_text())


class NoPast(Exception):
    """A model whose forward takes no past under any name that is known."""


class Runs:
    """Feeds one model. Logits come back on the CPU as [rows, vocab] of each text."""

    def __init__(self, model, new_past=None, padding=0):
        """`new_past(tokens)`: an empty past for so many, where the model's own is not wanted. `padding`: tokens on the
        left of every text that has a past, which the mask hides."""
        self.model, self.new_past, self.padding, self.longest = model, new_past, padding, 0
        self.takes = inspect.signature(model.forward).parameters
        self.past_name = next((name for name in PASTS if name in self.takes), None)
        if self.past_name is None:
            raise NoPast(f"the forward of {type(model).__name__} takes no past: none of {', '.join(PASTS)} is among "
                         f"its parameters, so that nothing could be handed over, and no verdict would mean anything")
        if padding and "attention_mask" not in self.takes:
            raise NoPast(f"the forward of {type(model).__name__} takes no attention_mask, so that nothing can be padded")
        self.count = 0  # times that a text was fed
        self.left_out = []
        self.routers = record_inside.Routers(model)
        self.held = {}  # tokens that each layer holds of the probed past; of windows, fewer than were fed

    def call(self, texts, past=None, rows=None, hidden=False, keeps=False, **more):
        """The output of one call; `rows`: places in the call whose logits are wanted. `keeps`: its past will be gone on
        from, and so is of the kind that was asked for."""
        import torch

        texts = texts if isinstance(texts[0], list) else [texts]
        more = dict(more)
        if keeps and past is None and self.new_past is not None:
            more[self.past_name] = self.new_past(self.longest)
        if self.padding and (keeps or past is not None):
            if past is None:
                pad = getattr(self.model.config.get_text_config(), "pad_token_id", None) or 0
                texts = [[pad] * self.padding + text for text in texts]
                rows = None if rows is None else [r + self.padding for r in rows]
            before = 0 if past is None else past_length(past)
            mask = torch.ones(len(texts), before + len(texts[0]), dtype=torch.long, device=self.model.device)
            mask[:, :self.padding] = 0
            more["attention_mask"] = mask
            if "position_ids" in self.takes:  # as generate does
                places = (mask.cumsum(1) - 1).clamp(min=0) + first_position(self.model)
                more["position_ids"] = places[:, before:]
        if past is None and self.count >= MOST_RUNS:
            raise ValueError(f"the text was fed {MOST_RUNS} times, which is enough")
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
        out, _ = self.call(texts, rows=[0], keeps=True)
        return self.past_in(out)

    def length(self, past):
        """Tokens of the text in a past, as it says."""
        said = past_length(past)
        return said - self.padding if said > 0 else said

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
    causes["own-key-unseen"] = lambda q, k: k < q
    if past > 1:
        causes["last-of-past-lost"] = lambda q, k: k <= q and k != past - 1
    return causes


def masks_with_numbers(n, past, windows):
    """`windows`: some layers hold less than the whole past."""
    causes = {}
    for c in counts(n, past):
        causes[f"window={c}"] = lambda q, k, c=c: q - c < k <= q
        if n - past > 1:
            causes[f"window-of-call={c}"] = lambda q, k, c=c: min(n - c, q) <= k <= q
        if c < past:  # all of them dropped is a past that is ignored
            causes[f"first-dropped={c}"] = lambda q, k, c=c: c <= k <= q
    lengths = [x for x in (1, 2, 3, 4, 8, 16, 32) if x < past - 1]
    pages = {(start, start + length) for length in lengths
             for start in range(1, past - length, 1 if past <= ALL_COUNTS * 2 else length)}
    pages |= {(start, past) for start in range(1, past - 1)}  # the first and the last lost have names of their own
    for start, end in sorted(pages):
        causes[f"keys-lost={start + 1}|{end}"] = Lost(start, end)
        if windows:
            causes[f"keys-lost={start + 1}|{end} of what a layer holds"] = Lost(start, end, True)
    for c in counts(n, past) if windows else ():
        causes[f"first-dropped={c}|of what a layer holds"] = Lost(0, c, True)
    return causes


def positions(n, past, turns):
    """Position of a new token q, by the name of the cause; `turns`: a rotation, which adds up."""
    causes = {"position-restarted": lambda q: q - past, "position-one-far": lambda q: q + 1,
              "position-one-short": lambda q: q - 1}
    if n - past > 1:
        causes["position-frozen"] = lambda q: past
    if turns:
        causes["rotary-twice"] = lambda q: 2 * q
        if n - past > 1:  # of one token it is a position that restarts
            causes["rotary-missing"] = lambda q: 0
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


class Lost:
    """A mask that hides the keys start .. end of the past from new tokens: by their places in the text, or in what a
    layer holds of it."""

    def __init__(self, start, end, in_layer=False):
        self.start, self.end, self.in_layer = start, end, in_layer

    def hidden(self, k, past, first_held):
        at = k - first_held if self.in_layer else k
        return (at >= self.start) & (at < self.end) & (k < past)


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
        self.first = first_position(runs.model)
        self.held = runs.held
        by_kind = {kind: min((self.held[layer] for layer, own in enumerate(getattr(config, "layer_types", None) or [])
                              if own == kind and layer in self.held), default=past) for kind in self.mask_kinds()}
        self.first_held = {kind: max(0, past - held) for kind, held in by_kind.items()}

    def mask_kinds(self):
        return self.kinds or (["sliding_attention"] if self.window else ["full_attention"])

    def near(self, kind, q, k):
        """Whether key k is within the window of token q, of layers of that kind; tensors."""
        if kind == "sliding_attention" and self.window:
            return q - k < self.window
        if kind == "chunked_attention" and self.window:
            return q // self.window == k // self.window
        return q - k == q - k

    def mask(self, sees, kind):
        """Added to the scores, [1, n, n]: 0 where a token sees a key. Tokens of the past see what came before them, and
        layers keep the windows that the model has."""
        import torch

        n, past = len(self.ids), self.past
        q, k = torch.arange(n)[:, None], torch.arange(n)[None, :]
        if isinstance(sees, Lost):
            seen = (k <= q) & ~((q >= past) & sees.hidden(k, past, self.first_held[kind]))
        else:
            seen = torch.tensor([[causal(i, j) if i < past else bool(sees(i, j)) for j in range(n)] for i in range(n)])
        seen &= self.near(kind, q, k)
        least = torch.finfo(self.runs.model.dtype).min
        return torch.zeros(n, n, dtype=self.runs.model.dtype).masked_fill(~seen, least)[None]

    def handed(self, variants, with_mask, with_places):
        import torch

        model, n, more = self.runs.model, len(self.ids), {}
        if with_mask:
            kinds = self.mask_kinds()
            by_kind = {kind: torch.stack([self.mask(sees or causal, kind) for sees, _ in variants]).to(model.device)
                       for kind in kinds}
            more["attention_mask"] = by_kind if len(kinds) > 1 else by_kind[kinds[0]]
        if with_places:
            at = [[self.first + (q if q < self.past or place is None else place(q)) for q in range(n)]
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


class Search:
    """What causes would have given, held against what was seen, until something is it."""

    def __init__(self, runs, ids, past, rows, seen, right, noise, layer):
        """`noise`: how far roundings move a logit. `layer`: where states first part; None where that is not known."""
        self.runs, self.ids, self.past, self.rows = runs, ids, past, rows
        self.seen, self.right, self.noise, self.layer = seen, right, noise, layer
        self.by = Suppositions(runs, ids, past)
        self.one_and_two_at = None
        self.tried, self.tensors = {}, {}  # by name and, after a "|", what tells variants of it apart

    def share(self, name):
        return self.tried[name][0] if name in self.tried else -9

    def found(self):
        return any(share >= 0.5 and far <= self.noise for share, far, _ in self.tried.values())

    def add(self, names, logits):
        for name, own in zip(names, logits or []):
            self.tried[name] = (explained(self.seen, self.right, own), apart(self.seen, own), own)

    def heeded(self, name, **which):
        got = self.runs.attempt(f"probe.{name}", lambda: self.by.run([(causal, None)], self.rows, **which)[0])
        return got is not None and apart(got, self.right) <= self.noise, got

    def see_what_is_heeded(self):
        by = self.by
        both, got = self.heeded("right_mask and probe.right_positions") if by.can_mask and by.can_place else (False, 0)
        if both:
            self.tensors["probe.right_mask"] = self.tensors["probe.right_positions"] = got
            return
        if by.can_mask:
            by.can_mask, self.tensors["probe.right_mask"] = self.heeded("right_mask", with_places=False)
        if by.can_place:
            by.can_place, self.tensors["probe.right_positions"] = self.heeded("right_positions", with_mask=False)

    def handed_over(self, variants):
        """{name: (sees, place)} in as few calls as they fit in."""
        names = [name for name in variants if name not in self.tried]
        if names:
            self.add(names, self.runs.attempt("suppose." + names[0] + " and others",
                                              lambda: self.by.run([variants[x] for x in names], self.rows)))

    def masks_and_places(self):
        by, n, past = self.by, len(self.ids), self.past
        turns = bool(getattr(by.config, "rope_parameters", None) or getattr(by.config, "rope_theta", None))
        known = getattr(by.config, "max_position_embeddings", None)  # not beyond the table of positions

        def fits(place):
            return known is None or max(place(q) for q in range(past, n)) + by.first < known

        self.plain_masks = masks(n, past) if by.can_mask else {}
        self.masks = masks_with_numbers(n, past, any(by.first_held.values())) if by.can_mask else {}
        self.plain_places, self.places = ({name: place for name, place in some.items() if fits(place)} if by.can_place
                                          else {} for some in (positions(n, past, turns), positions_with_numbers(n, past)))
        stage = {name: (sees, None) for name, sees in self.plain_masks.items()}
        stage |= {name: (None, place) for name, place in self.plain_places.items()}
        stage |= {f"{m}+{p}": (self.plain_masks[m], place) for p, place in self.plain_places.items()
                  for m in ("past-ignored", "top-left-mask", "later-tokens-seen") if m in self.plain_masks}
        numbers = {name: (sees, None) for name, sees in self.masks.items()}
        numbers |= {name: (None, place) for name, place in self.places.items()}
        if len(stage | numbers) * n <= AT_ONCE:
            self.handed_over(stage | numbers)
            return
        self.handed_over(stage)
        if not self.found():
            self.handed_over(numbers)

    def pairs(self):
        """Two at once, one of them with a number."""
        best = lambda some: max(some, key=self.share, default=None)
        place = best(self.plain_places)
        mask = best([m for m in self.plain_masks if m in ("past-ignored", "top-left-mask")])
        pairs = {}
        if place is not None:
            pairs |= {f"{m}+{place}": (sees, self.plain_places[place]) for m, sees in self.masks.items()
                      if "of-call" not in m and "keys-lost" not in m and "|" not in m}
        if mask is not None:
            pairs |= {f"{mask}+{p}": (self.plain_masks[mask], own) for p, own in self.places.items()}
        self.handed_over(pairs)

    def one_layer(self):
        """One layer that ignores the past, or one of its heads: where states first part, or any."""
        import torch

        if not self.by.can_mask:
            return
        n, past = len(self.ids), self.past
        heads = getattr(self.by.config, "num_attention_heads", 0)
        layers = [layer for layer, _ in record_inside.attentions(self.runs.model)]
        variants = [(f"layer-ignores-past|{x}", x, None) for x in layers if self.layer in (None, x)]
        if self.layer in layers:
            variants += [(f"head-ignores-past|{h}", self.layer, h) for h in range(heads)]
        variants = variants[:max(1, AT_ONCE // n)]

        def change(layer, mask):
            if mask.shape[0] != len(variants) or mask.shape[-2:] != (n, n):
                return mask
            mask = mask.expand(-1, heads, -1, -1).clone()
            for i, (_, own, head) in enumerate(variants):
                if own == layer:
                    mask[i, slice(None) if head is None else head, past:, :past] = torch.finfo(mask.dtype).min
            return mask

        def run():
            with record_inside.masks_by_layer(self.runs.model, change):
                return self.by.run([(causal, None)] * len(variants), self.rows)

        if variants and heads:
            self.add([name for name, _, _ in variants], self.runs.attempt("suppose.layer-ignores-past", run))

    def read_wrongly(self):
        """The past with its keys and values edited, on a text that holds it twice."""
        if not self.by.can_mask or self.past < 2:
            return
        copies = record_inside.Copies(self.by, AT_ONCE)
        edits = {name: {"edit": edit} for name, edit in record_inside.edits(self.past).items()}
        edits |= {f"{name}|of new tokens, too": {"edit": v["edit"], "all": True} for name, v in edits.items()
                  if name.startswith("past-in")}
        edits["past-in-fp8|calibrated"] = {"edit": record_inside.Calibrated(), "all": True}
        edits["hole-in-past"] = {"hole": True}
        edits |= {f"scores-scaled|{x}": {"scale": x} for x in (0.6, 0.75, 0.9, 1.1, 1.25, 1.5)}
        names = list(edits)
        logits = self.runs.attempt("probe.right_copy", lambda: copies.run([{}, *(edits[x] for x in names)], self.rows))
        if logits is None:
            return
        self.tensors["probe.right_copy"] = logits[0]
        if apart(logits[0], self.right) > self.noise:
            return
        self.add(names, logits[1:])
        if not self.found():
            self.scaled(copies)
        heads, kept = (getattr(self.by.config, f"num_{x}_heads", None) for x in ("attention", "key_value"))
        if not self.found() and heads and kept and 1 < kept < heads:
            self.add(["heads-tiled"], self.runs.attempt(
                "suppose.heads-tiled", lambda: copies.run([{"order": [h % kept for h in range(heads)]}], self.rows)))

    def scaled(self, copies):
        """Towards the factor that fits best, by the slope at the nearest so far."""
        at = float(max((x for x in self.tried if x.startswith("scores-scaled|")), key=self.share).split("|")[1])
        if self.share(f"scores-scaled|{at}") < 0.4:
            return
        for step in (1e-3, 1e-4, 1e-4):
            near = self.runs.attempt("suppose.scores-scaled",
                                     lambda: copies.run([{"scale": at}, {"scale": at + step}], self.rows))
            if near is None:
                return
            self.add([f"scores-scaled|{at!r}"], near[:1])
            slope = (near[1].double() - near[0].double()) / step
            if self.found() or not float(slope.norm()) > 0:
                return
            at += float(((self.seen.double() - near[0].double()) * slope).sum() / (slope * slope).sum())

    def calls_of_one_and_two(self):
        got = self.runs.attempt("probe.one_and_two", lambda: one_and_two(self.runs, self.ids, self.past))
        if got is not None:
            self.tensors["probe.one_and_two"], self.one_and_two_at = got

    def run(self):
        self.see_what_is_heeded()
        if self.by.can_mask or self.by.can_place:
            self.masks_and_places()
        for stage in (self.read_wrongly, self.one_layer, self.calls_of_one_and_two, self.pairs):
            if not self.found() and (self.by.can_mask or self.by.can_place or stage == self.calls_of_one_and_two):
                stage()

    def results(self):
        """(tensors, names of all that was tried)"""
        names, of_cause = [], lambda name: "+".join(part.split("=")[0].split("|")[0] for part in name.split("+"))
        for name in sorted(self.tried, key=lambda x: -self.tried[x][0]):
            if name.split("|")[0] not in [x.split("|")[0] for x in names]:
                names.append(name)
        tensors = {f"suppose.{name.split('|')[0]}": self.tried[name][2] for name in names[:MOST_KEPT]
                   if self.tried[name][0] > 0}
        if "past-ignored" in self.tried:  # however far: it shows whether masks are heeded at all
            tensors["suppose.past-ignored"] = self.tried["past-ignored"][2]
        found = {name: t for name, t in (tensors | self.tensors).items() if t is not None}
        return found, sorted({of_cause(x) for x in self.tried})


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
        crop(longer, past + runs.padding)
        metadata["probe_cropped_length"] = str(runs.length(longer))
        tensors["probe.cropped"] = go_on(longer)[0]

    def reordered():  # as a beam search does
        both = runs.past_of([prefix, other_prefix])
        if not hasattr(both, "reorder_cache"):
            raise ValueError(f"a {type(both).__name__} cannot be reordered")
        import torch

        both.reorder_cache(torch.tensor([1, 0], device=runs.model.device))
        tensors["probe.reordered_other"], tensors["probe.reordered"] = go_on(both, [rest, rest])

    def singly():
        """The last tokens of the past one at a time: calls of other lengths than the probed one."""
        import torch

        at = list(range(max(1, past - MOST_SINGLE), past))
        kept, own = runs.past_of(ids[:at[0]]), []
        for t in at:
            out, logits = runs.call(ids[t:t + 1], past=kept, rows=[0])
            kept = runs.past_in(out)
            own += logits
        tensors["probe.singly"] = torch.cat(own)
        metadata["rows.probe.singly"] = ",".join(str(t) for t in at)

    for run in (in_batch, reordered, forked, cropped) + ((singly,) if past > 1 else ()):
        runs.attempt(f"probe.{run.__name__}", run)


def one_and_two(runs, ids, past):
    """[3, vocab], and the place of its first row: a token fed alone after a past; the same and the next in one call."""
    import torch

    at = past if len(ids) > past + 1 else past - 1
    if at < 1:
        raise ValueError("a past of one token is too short")
    alone = runs.after(ids[:at], ids[at:at + 1], rows=[0])
    return torch.cat([alone, runs.after(ids[:at], ids[at:at + 2], rows=[0, 1])]), at


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
        self.model, self.wide = model, dtype

    def __enter__(self):
        self.kept = {name: b.clone() for name, b in self.model.named_buffers() if b.is_floating_point()}
        self.dtypes = {name: t.dtype for name, t in self.model.named_parameters()}
        config = self.model.config.get_text_config()
        self.experts = getattr(config, "_experts_implementation", None)
        if not hasattr(self.model, "set_experts_implementation"):
            self.experts = None
        try:
            self.model.to(self.wide)
            if self.experts is not None:
                self.model.set_experts_implementation("eager")
        except BaseException:  # no memory for it
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.experts is not None:
            self.model.set_experts_implementation(self.experts)
        for name, t in self.model.named_parameters():
            t.data = t.data.to(self.dtypes[name])
        for name, buffer in self.model.named_buffers():
            if name in self.kept:
                buffer.data = self.kept[name]


class Fed:
    """What came of a text that was fed in pieces."""

    def __init__(self, logits, lengths, past, states, routes, heads):
        self.logits, self.lengths = logits, lengths  # of the rows that were asked for; of the past after each call
        self.past, self.states = past, states  # the last; [layers + 1, tokens, width] or None
        self.routes, self.heads = routes, heads  # by layer


def fed(runs, ids, pieces, rows, hidden=False, heads=False):
    import torch

    past, logits, states, lengths, start = None, [], [], [], 0
    with runs.routers.listening() as routes, \
            record_inside.heads_of(runs.model) if heads else contextlib.nullcontext() as seen:
        for length in pieces:
            own = [r - start for r in rows if start <= r < start + length]
            out, given = runs.call(ids[start:start + length], past=past, rows=own or [length - 1], hidden=hidden,
                                   keeps=len(pieces) > 1)
            if own:
                logits.append(given[0])
            if hidden:
                states.append(hidden_of(out)[:, -length:])
            past = runs.past_in(out)
            lengths.append(runs.length(past) if len(pieces) > 1 else past_length(past))
            start += length
    return Fed(torch.cat(logits), lengths, past, torch.cat(states, dim=1) if hidden else None, routes, seen)


def wide_pair(runs, ids, pieces, rows, tensors, metadata, past, count):
    """Both runs in a wider format, and how far their states and heads are apart in each layer. None, or (with, without)."""
    import torch

    dtype = wide_format(runs.model)
    if dtype is None:
        runs.left_out.append(f"probe.wide: a model in {runs.model.dtype} is not run in a wider format")
        return None

    def both():
        with in_wider_format(runs.model, dtype):
            inside = dict(hidden=True, heads=True)
            without = runs.attempt("states", lambda: fed(runs, ids, [len(ids)], rows, **inside))
            if without is None:
                inside, without = {}, fed(runs, ids, [len(ids)], rows)
            return without, fed(runs, ids, pieces, rows, **inside)

    pair = runs.attempt("probe.wide_without and probe.wide_with", both)
    if pair is None:
        return None
    without, other = pair
    metadata["probe_wide_format"] = str(dtype).removeprefix("torch.")
    tensors["probe.wide_without"], tensors["probe.wide_with"] = without.logits, other.logits
    if rows != list(range(len(ids))):
        metadata["rows.probe.wide_without"] = metadata["rows.probe.wide_with"] = ",".join(str(r) for r in rows)
    if count and without.states is not None and without.states.shape == other.states.shape:
        a, b = (s[:, past:past + count].double() for s in (without.states, other.states))
        tensors["probe.states_apart"] = torch.stack([(a - b).abs().amax(2), a.abs().amax(2)], dim=2).float()
        heads = getattr(runs.model.config.get_text_config(), "num_attention_heads", 0)
        apart_by_head = record_inside.heads_apart(without.heads, other.heads, heads, past, count)
        if apart_by_head is not None and apart_by_head.shape[0] == tensors["probe.states_apart"].shape[0] - 1:
            tensors["probe.heads_apart"] = apart_by_head
    return other.logits, without.logits


def record_wide_runs(runs, ids, pieces, rows):
    """(tensors, metadata) of the wider runs alone."""
    past = len(ids) - pieces[-1]
    tensors, metadata = {}, {"probes": str(VERSION), "probe_past": str(past), "probe_rows": "1"}
    wide = wide_pair(runs, ids, pieces, rows, tensors, metadata, past, 0)
    return ({}, {}) if wide is None else (in_fp32(tensors), metadata)


def in_fp32(tensors):
    import torch

    return {name: (t.float() if t.dtype == torch.float64 else t).contiguous() for name, t in tensors.items()}


def first_layer_apart(states, dtype):
    """The first layer after which states differ by more than rounding; None where none does, or -1 before the first."""
    if states is None:
        return None
    for layer, (far, size) in enumerate(states.amax(1).tolist()):
        if far > 64 * steps(dtype) * max(size, 1e-30):
            return layer - 1
    return None


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
        runs.held = {i: int(layer.keys.shape[-2]) for i, layer in enumerate(getattr(past_again, "layers", None) or [])
                     if torch.is_tensor(getattr(layer, "keys", None)) and layer.keys.ndim == 4}
        logits, lengths = go_on(past_again), [runs.length(past_again)]
        if keeps and lengths[0] == past:  # it says to be as it was
            tensors["probe.twice"] = go_on(past_again)
            lengths.append(runs.length(past_again))
        if keeps and lengths[0] >= 0:
            metadata["probe_twice_lengths"] = listed(lengths)
        return logits

    # Of 16 bits uses of several pasts are run wider: faults that the narrow format would hide show, and near ties
    # between experts, which fall otherwise in calls of another shape, do not.
    narrow = steps(runs.model.dtype) > steps(torch.float32)
    ties = narrow and wide_format(runs.model) is not None
    if ties:
        runs.attempt("another text", lambda: runs.past_of(other[:past]))
    else:
        runs.attempt("probe.beside_another", beside)
    seen = keep("probe.again", again)

    def texts():
        keep("suppose.new-tokens-alone", lambda: runs.whole(rest, rows=first))
        keep("suppose.past-of-another-text", lambda: runs.whole(other[:past] + rest, rows=new))

    at_once = not hidden and not (ties and runs.routers) and wide_format(runs.model) is not None
    if at_once:  # other texts in a call are no matter there
        places = places_of_changes(n)
        before = sorted(set().union(*(rows_before(i, n, rows) for i in places)))
        got = runs.attempt("probe.later", lambda: runs.call([text[:i] + other_text[i:] for i in places],
                                                            rows=before)[1])
        for i, own in zip(places, got or []):
            some = rows_before(i, n, rows)
            tensors[f"probe.later.{i}"] = own[[before.index(r) for r in some]]
            if some != list(range(i)):
                metadata[f"rows.probe.later.{i}"] = listed(some)
    for i in places_of_changes(n) if not at_once else ():
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
    def uses():
        if ties:
            runs.attempt("probe.beside_another", beside)
        keep("probe.batched", lambda: runs.call([text, other_text], rows=new)[1][0])
        if keeps:
            second_uses(runs, ids, other, past, count, tensors, metadata)

    if ties:
        metadata["uses_in"] = str(wide_format(runs.model)).removeprefix("torch.")

        def uses_and_texts():
            with in_wider_format(runs.model, wide_format(runs.model)):
                uses()
                texts()
        runs.attempt("uses", uses_and_texts)
    else:
        uses()
    wide = wide_pair(runs, text, pieces, rows, tensors, metadata, past, count)

    # What each cause would have given: in the wider format where the fault is there, too, since less is rounded there.
    right_rows = right[[rows.index(r) for r in new]]
    seen_rows = recorded[[rows.index(r) for r in new]] if len(pieces) == 2 else None
    scale = float(right.abs().max())
    dtype = runs.model.dtype
    parted = lambda a, b, format_, times: apart(a, b) > times * steps(format_) * scale
    few = 16 if dtype in (torch.float32, torch.float64) else 4
    if keeps and not (ties and runs.routers) and seen is not None and seen_rows is not None and all(
            parted(a, b, dtype, few) for a, b in ((seen, right_rows), (seen_rows, right_rows), (seen, seen_rows))):
        def alike():  # after what was fed before probe.again
            go_on(runs.past_of(other[:past]))
            return go_on(runs.past_of(ids[:past]))
        keep("probe.again_alike", alike)
    wide_parted = wide is not None and parted(wide[0], wide[1], wide_format(runs.model), 16)
    single_use_right = True
    if keeps and wide_parted:
        wide_dtype = wide_format(runs.model)
        with in_wider_format(runs.model, wide_dtype):
            if not ties:
                texts()
            at = [rows.index(r) for r in new]
            probed = wide[0][at] if len(pieces) == 2 else runs.after(ids[:past], rest, rows=first)
            metadata["supposed_for"] = "wide_with" if len(pieces) == 2 else "wide_again"
            if len(pieces) != 2:
                tensors["probe.wide_again"] = probed
            if parted(probed, wide[1][at], wide_dtype, 16):
                single_use_right = False
                layer = first_layer_apart(tensors.get("probe.states_apart"), wide_dtype)
                add_suppositions(runs, ids, other, past, count, probed, wide[1][at], 16 * steps(wide_dtype) * scale,
                                 tensors, metadata, layer)
    else:
        if not ties:
            texts()
        for name, own in {"recorded": seen_rows, "again": seen}.items():
            if own is None or not keeps or not parted(own, right_rows, dtype, few):  # what is not kept is not misread
                continue
            single_use_right = False
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
        in_wide = ties and name != "twice" and wide is not None
        expected = tensors.get(f"probe.{name}_whole", wide[1][[rows.index(r) for r in new]] if in_wide else right_rows)
        differs = lambda a, b: parted(a, b, wide_format(runs.model) if in_wide else dtype, 16 if in_wide else few)
        if differs(got, expected):
            at = list(range(len(whole) - len(rest), len(whole) - len(rest) + count))
            run = lambda whole=whole, at=at: runs.whole(whole, rows=at)
            with in_wider_format(runs.model, wide_format(runs.model)) if in_wide else contextlib.nullcontext():
                supposed = keep(f"suppose.{cause}", run)
                if name == "cropped" and (supposed is None or differs(supposed, got)):
                    metadata["supposed_for"] = name
                    noise = 16 * steps(wide_format(runs.model)) if in_wide else 2 * few * steps(dtype)
                    add_suppositions(runs, ids, other, past, count, got, expected, noise * scale, tensors, metadata)
    if "probe.singly" in tensors and single_use_right and not (ties and (runs.routers or wide is None)):
        at = [int(x) for x in metadata["rows.probe.singly"].split(",")]
        expected, format_, times = (wide[1], wide_format(runs.model), 16) if ties else (right, dtype, few)
        own = [(tensors["probe.singly"][i], expected[rows.index(t)]) for i, t in enumerate(at) if t in rows]
        if any(parted(a, b, format_, times) for a, b in own):
            got = runs.attempt("probe.one_and_two", lambda: one_and_two(runs, ids, past))
            if got is not None:
                tensors["probe.one_and_two"], metadata["probe_one_and_two"] = got[0], str(got[1])
    metadata["runs"] = str(runs.count)
    return in_fp32(tensors), metadata


def add_suppositions(runs, ids, other, past, count, seen, right, noise, tensors, metadata, layer=None):
    search = Search(runs, ids, past, count, seen, right, noise, layer)
    search.run()
    supposed, tried = search.results()
    tensors |= supposed
    metadata["tried"] = " ".join(tried)
    if search.one_and_two_at is not None:
        metadata["probe_one_and_two"] = str(search.one_and_two_at)
    if not search.found() and not search.by.can_mask:
        more = runs.attempt("probe.changed", lambda: changes(runs, ids, other, past, count))
        tensors |= more or {}
