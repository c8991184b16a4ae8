"""What a model's logits would be, had something gone wrong with its past.

Masks and positions of a faulty implementation are handed over with the whole text, which needs no past; what a past
holds is edited in one that the model has just made. Neither is believed unless the same call, with nothing edited, gives
the right logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from .live import first_line, forked, on_cpu

if TYPE_CHECKING:
    from .live import TransformersSubject

MOST_TRIES = 600  # suppositions of one check, each of a call or two; not a time, which would name less on a slow machine

Sees = Callable[[int, int], bool]
Place = Callable[[int], int]


def mask_of(cause: str, count: int, n: int, past: int) -> Optional[Sees]:
    """Which keys k a new token q sees, of a text of n tokens."""
    many = n - past > 1
    return {
        "past-ignored": lambda q, k: past <= k <= q,
        "top-left-mask": lambda q, k: k <= q - past,
        "later-tokens-seen": (lambda q, k: True) if many else None,
        "attends-both-ways": (lambda q, k: True) if many else None,
        "last-of-past-lost": (lambda q, k: k <= q and k != past - 1) if past > 1 else None,
        "one-key-too-many": (lambda q, k: k <= q + 1) if many else None,
        "window": lambda q, k: q - count < k <= q,
        "first-dropped": (lambda q, k: min(count, past) <= k <= q) if count < past else None,
        "window-of-call": (lambda q, k: min(n - count, q) <= k <= q) if many else None,
    }.get(cause)


def place_of(cause: str, count: int, n: int, past: int) -> Optional[Place]:
    """The position of a new token q."""
    many = n - past > 1
    return {
        "position-restarted": lambda q: q - past,
        "position-one-far": lambda q: q + 1,
        "position-one-short": lambda q: q - 1,
        "position-frozen": (lambda q: past) if many else None,
        "position-stops": lambda q: min(q, count),
        "position-from-padding": lambda q: q + count,
    }.get(cause)


# --- What is done to one layer of a healthy past; keys and values are [texts, heads, tokens, numbers].

def _both(change: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def edit(layer: Any) -> bool:
        layer.keys, layer.values = change(layer.keys), change(layer.values)
        return True
    return edit


def _int8(x: Any) -> Any:
    scale = x.float().abs().amax(-1, keepdim=True) / 127
    return ((x.float() / scale.clamp(min=1e-30)).round() * scale).to(x.dtype)


def _swap_rows_and_heads(x: Any) -> Any:
    return x.transpose(1, 2).contiguous().view(x.shape)


def _shift_heads(layer: Any) -> bool:
    if layer.keys.shape[1] < 2:
        return False
    return _both(lambda x: x.roll(1, 1))(layer)


def _shift_values(layer: Any) -> bool:
    import torch

    layer.values = torch.cat([layer.values[:, :, 1:], layer.values[:, :, -1:]], 2)
    return True


def _swap(layer: Any) -> bool:
    if layer.keys.shape != layer.values.shape:
        return False
    layer.keys, layer.values = layer.values, layer.keys
    return True


def _to(name: str) -> Callable[[Any], bool]:
    def edit(layer: Any) -> bool:
        import torch

        kind = getattr(torch, name)
        if layer.keys.dtype == kind:
            return False
        return _both(lambda x: x.to(kind).to(x.dtype))(layer)
    return edit


def _hole(layer: Any) -> bool:
    import torch

    return _both(lambda x: torch.cat([x, torch.zeros_like(x[:, :, :1])], 2))(layer)


def zeroed(first: int, count: int) -> Callable[[Any], bool]:
    def change(x: Any) -> Any:
        x = x.clone()
        x[:, :, first:first + count] = 0
        return x
    return _both(change)


EDITS: dict[str, Callable[[Any], bool]] = {
    "heads-shifted": _shift_heads,
    "values-shifted": _shift_values,
    "rows-and-heads-swapped": lambda layer: layer.keys.shape[1] > 1 and _both(_swap_rows_and_heads)(layer),
    "past-in-fp16": _to("float16"),
    "past-in-bf16": _to("bfloat16"),
    "past-in-int8": _both(_int8),
    "hole-in-past": _hole,
    "keys-and-values-swapped": _swap,
}


class Supposer:
    """Answers the checker's suppositions of one model, and remembers them."""

    def __init__(self, subject: "TransformersSubject") -> None:
        self.subject, self.tries = subject, 0
        self.known: dict[Any, Any] = {}
        self.heeded: dict[Any, bool] = {}
        self.gave_up = False
        self.window = getattr(subject.caller.config, "sliding_window", None)

    def suppose(self, what: list[tuple[str, int]], ids: list[int], past: int) -> Any:
        key = (tuple(what), tuple(ids), past)
        if key not in self.known:
            if self.tries >= MOST_TRIES:
                self.gave_up = True
                return None
            self.tries += 1
            try:
                self.known[key] = self._suppose(what, ids, past)
            except Exception as error:  # noqa: BLE001 - a supposition that the model refuses is not computed
                if "out of memory" in str(error):
                    raise
                self.known[key] = None
        return self.known[key]

    def _suppose(self, what: list[tuple[str, int]], ids: list[int], past: int) -> Any:
        names = [name for name, _ in what]
        if len(what) == 1 and names[0] in EDITS:
            return self.edited(EDITS[names[0]], ids, past)
        sees: Optional[Sees] = None
        place: Optional[Place] = None
        for name, count in what:
            mask, own = mask_of(name, count, len(ids), past), place_of(name, count, len(ids), past)
            if mask is None and own is None:
                return None
            if mask is not None and sees is not None or own is not None and place is not None:
                return None
            sees, place = mask or sees, own or place
        if not self.heeds(ids, past, sees is not None, place is not None):
            return None
        return self.handed(ids, past, sees, place)

    # --- masks and positions, handed over with the whole text

    def handed(self, ids: list[int], past: int, sees: Optional[Sees], place: Optional[Place], masks: bool = True,
               places: bool = True) -> Any:
        from .recording import tool

        probes = tool("record_probes")
        runs = probes.Runs(self.subject.caller.model if not self._compiled() else self.subject.caller.inner)
        by = probes.Suppositions(runs, list(ids), past)
        if place is not None:
            self.subject.caller.require_room(ids, max(0, max(place(q) for q in range(past, len(ids))) - len(ids) + 1))
        got = by.run([(sees or probes.causal if masks else None, place)], len(ids) - past, masks, places)[0]
        return on_cpu(got)

    def _compiled(self) -> bool:
        return hasattr(self.subject.caller.model, "_orig_mod")

    def heeds(self, ids: list[int], past: int, masks: bool, places: bool) -> bool:
        """Whether the model, handed the right mask and positions, gives the right logits: it heeds what it is handed,
        and puts nothing of its own in its place."""
        key = (masks, places, len(ids), past)
        if key not in self.heeded:
            right = on_cpu(self.subject.caller.logits_in(self.subject.caller.call([ids]))[0, past:])
            if places and "position_ids" not in self.subject.caller.takes:
                self.heeded[key] = False
            else:
                try:
                    got = self.handed(ids, past, None, None, masks, places)
                    self.heeded[key] = near(got, right, self.subject)
                    if masks and self.heeded[key]:  # and a mask that hides all but itself must show
                        alone = self.handed(ids, past, lambda q, k: k == q, None, True, places)
                        self.heeded[key] = not near(alone, right, self.subject)
                except Exception:  # noqa: BLE001
                    self.heeded[key] = False
        return self.heeded[key]

    # --- what a past holds

    def healthy(self, ids: list[int], past: int) -> Any:
        """A past of the model's own making, of the first tokens."""
        caller = self.subject.caller
        return caller.past_in(caller.call([ids[:past]], keep=1))

    def after(self, kept: Any, ids: list[int], past: int) -> Any:
        import torch

        caller, more = self.subject.caller, {}
        if "position_ids" in caller.takes:
            more["position_ids"] = torch.arange(past, len(ids), device=caller.device)[None]
        out = caller.call([ids[past:]], past=kept, **more)
        return on_cpu(caller.logits_in(out)[0])

    def trusted(self, ids: list[int], past: int) -> bool:
        key = ("after", len(ids), past)
        if key not in self.heeded:
            caller = self.subject.caller
            right = on_cpu(caller.logits_in(caller.call([ids]))[0, past:])
            self.heeded[key] = near(self.after(self.healthy(ids, past), ids, past), right, self.subject)
        return self.heeded[key]

    def edited(self, edit: Callable[[Any], bool], ids: list[int], past: int) -> Any:
        """Logits of the new tokens after a past of which every layer of keys and values was edited."""
        if edit is _hole and "position_ids" not in self.subject.caller.takes:
            return None
        if not self.trusted(ids, past):
            return None
        kept = forked(self.healthy(ids, past))
        layers = [layer for layer in getattr(kept, "layers", []) if getattr(layer, "keys", None) is not None]
        before = [(layer.keys, layer.values) for layer in layers]
        if not layers or not all([edit(layer) for layer in layers]):
            return None
        # What changes no value is what the model does anyway: bf16 keys in fp16, say. It explains nothing.
        if all(same(layer.keys, k) and same(layer.values, v) for layer, (k, v) in zip(layers, before)):
            return None
        return self.after(kept, ids, past)


def same(a: Any, b: Any) -> bool:
    import torch

    return a.shape == b.shape and torch.equal(a, b)


def near(a: Any, b: Any, subject: Any) -> bool:
    """No further apart than rounding makes of other shapes of the same products."""
    import torch

    dtype = getattr(subject.caller.inner, "dtype", torch.float32)
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    if a.shape != b.shape:
        return False
    return float((a.float() - b.float()).abs().max()) <= 64 * eps * max(1.0, float(b.float().abs().max()))


__all__ = ["EDITS", "Supposer", "first_line", "near", "zeroed"]
