"""Causes that only a live model shows: states that are dropped, steps that differ, ropes that change with the length.

Each is tried by running what it would be, and named only where that is what was seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Optional

from .live import Session, crop, forked, length_of, states_of
from .suppose import near, zeroed

if TYPE_CHECKING:
    from .checking import LiveCheck

LOOK_STATE = "what the layer starts from when a call has several tokens: the state of its past, not zeros"
LOOK_CONV = "what the convolution of a call's first tokens sees: the last inputs of its past, not zeros"
LOOK_STEP = "what the path for one token does otherwise than the path for several: clamps, dtypes, gates"
LOOK_ROPE = "which frequencies cached keys were rotated by: one set for a text, whatever its length, or keys without rotation"
LOOK_ROUTER = "nothing is wrong; a token that is so near a tie goes to other experts in any other arithmetic"
LOOK_BATCH = "what of a batch's rows meets: sums, scales or states over the batch"
LOOK_PLACES = "where positions of new tokens come from: past length, then one by one"
LOOK_CROP = "what crop() does to recurrent states: they cannot be cut, so it must refuse, or a snapshot be restored"


def diagnose(live: "LiveCheck", ways: dict[str, dict[str, Any]]) -> None:
    """Adds the causes that are found to the check."""
    for find in (near_tie, mixed_batch, restarted_positions, rope_regime, dropped_states, differing_step, edited_pasts):
        if certain(live) and find is not near_tie:
            return
        try:
            find(live)
        except Exception as error:  # noqa: BLE001 - a search that fails names nothing
            if "out of memory" in str(error):
                raise


def certain(live: "LiveCheck") -> bool:
    return any(c["confirmed"] and c["cause"] not in ("attends-both-ways", "rounding", "rows-not-independent")
               for c in live.check.causes())


# --- Feeding

def rows(live: "LiveCheck", out: Any) -> Any:
    from .live import on_cpu

    return on_cpu(live.subject.caller.logits_in(out)[0])


def after(live: "LiveCheck", past: Any, ids: list[int], **more: Any) -> Any:
    return rows(live, live.subject.caller.call([ids], past=past, **more))


def past_of(live: "LiveCheck", ids: list[int]) -> Any:
    caller = live.subject.caller
    return caller.past_in(caller.call([ids], past=live.subject.new_past(), keep=1))


def whole_of(live: "LiveCheck", ids: list[int]) -> Any:
    return rows(live, live.subject.caller.call([ids]))


def apart(a: Any, b: Any) -> float:
    return float((a.float() - b.float()).abs().max())


def kinds_of_state(past: Any) -> tuple[list[Any], list[Any]]:
    """(recurrent states, convolutions) of a past, as (owner, key, tensor)."""
    recurrent, conv = [], []
    for layer in getattr(past, "layers", []) or []:
        for name, found in (("recurrent_states", recurrent), ("conv_states", conv)):
            held = getattr(layer, name, None)
            if isinstance(held, dict):
                found += [(held, key, value) for key, value in held.items() if value is not None]
            elif held is not None:
                found += [(o, k, t) for o, k, t in states_of(held)] or [(layer, name, held)]
    if not recurrent and not conv and not hasattr(past, "layers"):
        for owner, key, tensor in states_of(past):
            name = f"{key} {type(owner).__name__}".lower()
            (conv if "conv" in name else recurrent).append((owner, key, tensor))
    return recurrent, conv


def zero(states: list[Any]) -> None:
    for _, _, tensor in states:
        tensor.zero_()


# --- Experts

class Gaps:
    """While it is entered, how near the scores of the last expert that is chosen and the first that is not come."""

    def __init__(self, live: "LiveCheck") -> None:
        config = live.subject.caller.config
        sizes = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
        self.experts = next((n for n in (getattr(config, s, None) for s in sizes) if isinstance(n, int) and n > 1), 0)
        chosen = ("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts")
        self.chosen = next((n for n in (getattr(config, s, None) for s in chosen) if isinstance(n, int)), 0)
        self.least = float("inf")
        self.hooks: list[Any] = []
        self.model = live.wide.caller.inner if live.wide is not None else None

    def __enter__(self) -> "Gaps":
        import torch

        def looked(module: Any, args: Any) -> None:
            scores = args[0].double().reshape(-1, module.weight.shape[1]) @ module.weight.double().T
            scores = torch.log_softmax(scores, -1).sort(-1, descending=True).values
            if 0 < self.chosen < scores.shape[-1]:
                self.least = min(self.least, float((scores[:, self.chosen - 1] - scores[:, self.chosen]).min()))

        for name, module in self.model.named_modules():
            weight = getattr(module, "weight", None)
            if name.rsplit(".", 1)[-1] in ("gate", "router", "wg", "layer") and weight is not None and weight.ndim == 2 and \
                    weight.shape[0] == self.experts:
                self.hooks.append(module.register_forward_pre_hook(looked))
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self.hooks:
            hook.remove()


def near_tie(live: "LiveCheck") -> None:
    """A mixture of experts of which roundings choose another: in fp64 the same experiments agree."""
    from . import _pkv
    from .checking import widely

    if live.wide is None or getattr(live, "wide_check", None) is not None:
        return
    gaps = Gaps(live)
    if not gaps.experts:
        return
    with widely(live.wide), gaps:
        wide = _pkv.check(live.wide, live.ids, live.options["splits"], live.shown, live.noise)
    if wide.max_abs <= live.check.bound and wide.outcome != "differs" and gaps.least < 1e-3:
        live.check.clear_causes()  # whatever fits a flip fits by chance
        live.check.add_cause(
            "router-near-tie", "two experts score so nearly the same that roundings choose between them", LOOK_ROUTER,
            f"in a wider format all experiments agree (within {wide.max_abs:.2g}), and scores of an expert that is chosen and "
            f"one that is not come within {gaps.least:.1g} of each other", True, 1, 0)


# --- Batches

def mixed_batch(live: "LiveCheck") -> None:
    """A batch that gives a text other logits than it gets alone, without any past."""
    rows_ = {e["experiment"]: e for e in live.check.experiments()}
    bound = live.check.bound
    wrong = [name for name, e in rows_.items() if e["max |Δ|"] is not None and e["max |Δ|"] > bound]
    if not wrong or set(wrong) - {"two texts in a call", "left padding"}:
        return
    other = live.ids[::-1]
    for count in (len(live.ids), 1):
        ids = live.ids[:count]
        out = live.subject.caller.logits_in(live.subject.caller.call([ids, other[:count]]))
        alone = whole_of(live, ids)
        off = apart(out[0].to(alone.device), alone)
        if off > bound:
            of = f"a call of {count} tokens" if count > 1 else "a call of one token"
            live.check.add_cause(
                "batch-differs", f"in a batch {of} gives a text other logits than alone, with or without a past", LOOK_BATCH,
                f"without any past, beside another text, {of} is {off:.2g} off", True, count, 0)
            return


# --- Positions

def restarted_positions(live: "LiveCheck") -> None:
    import torch

    caller, ids = live.subject.caller, live.ids
    if "position_ids" not in caller.takes:
        return
    n = len(ids)
    past = max(1, n // 2)
    right = whole_of(live, ids)[past:]
    wrong = after(live, past_of(live, ids[:past]), ids[past:])
    places = torch.arange(past, n, device=caller.device)[None]
    mended = after(live, past_of(live, ids[:past]), ids[past:], position_ids=places)
    restarted = after(live, past_of(live, ids[:past]), ids[past:], position_ids=places - past)
    bound = live.check.bound
    if apart(wrong, right) > bound >= apart(mended, right) and apart(restarted, wrong) <= bound:
        live.check.add_cause(
            "position-restarted", "positions of new tokens restart at 0", LOOK_PLACES,
            f"with positions handed over the logits are right (within {apart(mended, right):.2g}); with positions from 0 "
            f"they are those seen (within {apart(restarted, wrong):.2g})", True, n - past, 0)


def ropes_of(live: "LiveCheck") -> set[str]:
    config = live.subject.caller.config
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    several = [found, *[v for v in found.values() if isinstance(v, dict)]] if isinstance(found, dict) else []
    return {str(s.get("rope_type", s.get("type", "default"))) for s in several} - {"default", "None"}


def rope_regime(live: "LiveCheck") -> None:
    """Frequencies that go by the length of the call: the beginning of a text gets other logits once the text is long."""
    kinds = ropes_of(live) & {"longrope", "dynamic", "su"}
    if not kinds:
        return
    ids, n = live.ids, len(live.ids)
    whole = whole_of(live, ids)
    bound = live.check.bound

    def continued(count: int) -> float:
        """How far a past of half of so many tokens is from their own logits without one."""
        past = max(1, count // 2)
        return apart(after(live, past_of(live, ids[:past]), ids[past:count]), whole_of(live, ids[:count])[past:])

    low, high = 2, n
    if continued(low) > bound or continued(high) <= bound:
        return
    while high - low > 1:  # the longest beginning of which a past of half is right
        middle = (low + high) // 2
        low, high = (middle, high) if continued(middle) <= bound else (low, middle)
    moved = apart(whole_of(live, ids[:low]), whole[:low])
    if moved > bound:
        live.check.add_cause(
            "rope-regime", f"texts of more than {low} tokens are rotated by other frequencies ({', '.join(sorted(kinds))}), "
                           "and keys of the past keep the old ones", LOOK_ROPE,
            f"up to {low} tokens a past gives the right logits (within {continued(low):.2g}); logits of the first {low} "
            f"tokens alone are {moved:.2g} from those that they get in the longer text, without any past", True, n - low, 0)


# --- States

def dropped_states(live: "LiveCheck") -> None:
    """Calls of several tokens that do not read the state of their past."""
    ids, n = live.ids, len(live.ids)
    past = max(1, n // 2)
    if n - past < 2:
        return
    kept = past_of(live, ids[:past])
    recurrent, conv = kinds_of_state(kept)
    if not recurrent and not conv:
        return
    right = whole_of(live, ids)[past:]
    seen = after(live, forked(kept), ids[past:])
    bound = live.check.bound
    if apart(seen, right) <= bound:
        return

    def without(which: int) -> Any:
        other = forked(kept)
        zero(kinds_of_state(other)[which])
        return after(live, other, ids[past:])

    blind = {name: bool(states) and apart(without(which), seen) == 0
             for which, (name, states) in enumerate((("recurrent", recurrent), ("conv", conv)))}
    one = after(live, forked(kept), ids[past:past + 1])
    other = forked(kept)
    zero(kinds_of_state(other)[0 if blind["recurrent"] else 1])
    read_alone = apart(after(live, other, ids[past:past + 1]), one) > 0
    also = "; a call of one token reads them" if read_alone else ""
    if blind["recurrent"]:
        both = " nor those of its convolutions" if blind["conv"] else ""
        live.check.add_cause(
            "state-dropped", "a call of several tokens starts from zero states, not from those of its past", LOOK_STATE,
            f"with the recurrent states of the past set to zero the logits are the same, bit for bit{both and ', and'}"
            f"{' with its convolutions, too' if both else ''}{also}", True, n - past, n - past)
    elif blind["conv"]:
        live.check.add_cause(
            "conv-dropped", "a call of several tokens does not see the last inputs of its convolutions", LOOK_CONV,
            f"with the past's convolution states set to zero the logits are the same, bit for bit{also}", True,
            n - past, n - past)


def differing_step(live: "LiveCheck") -> None:
    """One token alone is computed otherwise than as the first of several."""
    ids, n = live.ids, len(live.ids)
    if not any(kinds_of_state(past_of(live, ids[:1]))):
        return
    whole = whole_of(live, ids)
    bound = live.check.bound
    found = None
    session_past = past_of(live, ids[:max(1, n // 3)])
    at = max(1, n // 3)
    while at + 1 < n:
        pair = after(live, forked(session_past), ids[at:at + 2])[:1]
        alone_past = forked(session_past)
        alone = after(live, alone_past, ids[at:at + 1])
        if apart(pair, whole[at:at + 1]) <= bound < apart(alone, pair):
            found = (at, apart(alone, pair), apart(pair, whole[at:at + 1]))
            break
        step = after(live, session_past, ids[at:at + 2])  # two at once, so that the state stays right
        del step
        at += 2
    if found is not None:
        live.check.add_cause(
            "step-differs", "a call of one token computes something else than a call of several", LOOK_STEP,
            f"after a past of {found[0]} a token fed alone gets other logits (by {found[1]:.2g}) than as the first of two, "
            f"which are right (within {found[2]:.2g})", True, 1, 0)


# --- What a past holds

def edited_pasts(live: "LiveCheck") -> None:
    """Faults that the checker's list does not have: played on a healthy past, and named where that is what was seen."""
    supposer = live.subject.supposer
    if supposer is None:
        return
    ids, n = live.ids, len(live.ids)
    past = n - 1 if n < 4 else max(2, 2 * n // 3)
    session = live.subject.fresh()
    session.skip(ids[:past])
    seen = rows_cpu(session.feed(ids[past:]))
    right = whole_of(live, ids)[past:]
    if apart(seen, right) <= live.check.bound:
        return
    from .suppose import EDITS

    tries: list[tuple[str, str, Callable[[Any], bool]]] = [
        ("keys-and-values-swapped", "keys are read where values are, and values where keys are",
         EDITS["keys-and-values-swapped"])]
    for size in sorted({1, 2, 4, 8, 16, past // 2}):
        for first in sorted({0, past // 4, past // 3, past // 2, past - size, *range(0, past, size)}):
            if 0 < size < past and 0 <= first <= past - size:
                tries.append(("page-lost", f"{size} tokens of the past, from token {first} on, are zeros",
                              zeroed(first, size)))
    scale = apart(seen, right)
    for name, statement, edit in tries[:120]:
        got = supposer.edited(edit, ids, past)
        if got is not None and apart(got, seen) <= min(live.check.bound, 0.2 * scale):
            live.check.add_cause(name, statement, "the layout of stored keys and values, and which pages a text reads",
                                 f"a healthy past, so edited, gives the logits that were seen (within "
                                 f"{apart(got, seen):.2g}; they are {scale:.2g} off)", True, n - past, 0)
            return


def rows_cpu(given: Any) -> Any:
    from .checking import rows_of

    return rows_of(given)


# --- A rewind after recording was switched on

def recorded_rewind(live: "LiveCheck") -> Optional[str]:
    """What crop() does once the cache was told to record; None where it cannot be told."""
    ids, n = live.ids, len(live.ids)
    keep = max(1, n // 2)
    if n - keep < 1:
        return None
    past = past_of(live, ids[:keep])
    if not hasattr(past, "activate_past_recording") or not hasattr(past, "crop"):
        return None
    try:
        past.activate_past_recording()
        past = live.subject.caller.past_in(live.subject.caller.call([ids[keep:]], past=past, keep=1))
        before = [(t.clone()) for _, _, t in kinds_of_state(past)[0]]
        crop(past, n - keep)
        states = [t.clone() for _, _, t in kinds_of_state(past)[0]]
        got = after(live, past, ids[keep:])
    except Exception as error:  # noqa: BLE001
        found = getattr(error, "found", "") or re.sub(r"\s+", " ", str(error))
        return f"refused: {found[:120]}"
    right = whole_of(live, ids)[keep:]
    moved = apart(got, right)
    if moved <= live.check.bound:
        return "right"
    if not before and apart(after(live, past_of(live, ids[:keep]), ids[keep:]), right) > live.check.bound:
        return None  # wrong without a rewind, too
    said = length_of(past)
    same = bool(before) and all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(before, states))
    if same:
        live.check.add_note(f"After activate_past_recording() and crop(), the recurrent states are unchanged, and logits "
                            f"are {moved:.2g} off, without any error (state-not-rewound). {LOOK_CROP.capitalize()}.")
        return f"silently wrong: state-not-rewound ({moved:.2g} off)"
    return f"silently wrong ({moved:.2g} off; the past says it holds {said})"


__all__ = ["Session", "diagnose", "near", "recorded_rewind"]
