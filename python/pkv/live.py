"""A transformers model in memory as a system that can be fed: plain calls, or calls as ``generate`` prepares them."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Callable, Optional, Sequence

from .errors import Error

PASTS = ("cache", "past_key_values", "cache_params", "state", "mems")  # what forwards call their past, the newest first
FORMATS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
BLOCK = 64            # tokens whose logits are made at once, where all of them would be too many
MOST_BYTES = 1 << 28  # of logits that are made at once


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def unwrapped(model: Any) -> Any:
    """The model that torch.compile wraps."""
    return getattr(model, "_orig_mod", model)


def text_config(model: Any) -> Any:
    config = unwrapped(model).config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def is_plain(past: Any) -> bool:
    """Made of layers that put new tensors in the place of old ones, so that copying the lists is a fork."""
    layers = getattr(past, "layers", None)
    plain = {"DynamicLayer", "DynamicSlidingWindowLayer"}
    return (type(past).__name__ == "DynamicCache" and bool(layers)
            and all(type(layer).__name__ in plain for layer in layers))


def forked(past: Any) -> Any:
    """Another past with the same content. Raises what deepcopy raises where a past cannot be copied."""
    if is_plain(past):
        other = copy.copy(past)
        other.layers = [copy.copy(layer) for layer in past.layers]
        return other
    return copy.deepcopy(past)


def length_of(past: Any) -> Optional[int]:
    """What the past itself says; None where it does not say."""
    if past is None:
        return 0
    try:
        if hasattr(past, "get_seq_length"):
            return int(past.get_seq_length())  # at once: of a static cache it is a tensor that goes on counting
        if isinstance(past, tuple) and past and isinstance(past[0], tuple):
            return int(past[0][0].shape[-2])
    except Exception:  # noqa: BLE001 - of a state, which has no length
        pass
    return None


def states_of(past: Any) -> list[tuple[Any, str, Any]]:
    """(owner, key, tensor) of all tensors that a past holds."""
    found: list[tuple[Any, str, Any]] = []
    seen: set[int] = set()

    def walk(owner: Any, key: Any, value: Any, depth: int) -> None:
        import torch

        if isinstance(value, torch.Tensor):
            found.append((owner, key, value))
        elif id(value) in seen or depth > 6:
            return
        elif isinstance(value, dict):
            seen.add(id(value))
            for k, v in list(value.items()):
                walk(value, k, v, depth + 1)
        elif isinstance(value, (list, tuple)):
            seen.add(id(value))
            for k, v in enumerate(value):
                walk(value, k, v, depth + 1)
        elif hasattr(value, "__dict__") and not isinstance(value, type) and "config" not in type(value).__name__.lower():
            seen.add(id(value))
            for k, v in list(vars(value).items()):
                walk(value, k, v, depth + 1)

    walk(None, "", past, 0)
    return found


class Caller:
    """Feeds one model, and counts how often. No logits leave the device that nobody asked for."""

    def __init__(self, model: Any) -> None:
        self.model, self.inner = model, unwrapped(model)
        if not hasattr(self.inner, "config") or not callable(getattr(self.inner, "forward", None)):
            raise Error("this is no transformers model", found=type(model).__name__,
                        expected="a PreTrainedModel, perhaps compiled",
                        hint="pkv.Feedable(...) for anything else that can be fed")
        if getattr(self.inner.config, "is_encoder_decoder", False):
            raise Error("an encoder-decoder needs two texts", where=type(self.inner).__name__,
                        expected="a decoder, such as AutoModelForCausalLM gives", hint="check its decoder alone")
        self.takes = inspect.signature(self.inner.forward).parameters
        self.past_name = next((name for name in PASTS if name in self.takes), None)
        self.config = text_config(model)
        self.calls = self.tokens = 0
        self.seconds = 0.0
        self.gives_hidden = False
        self.in_blocks = False
        self.table = self._table_of_positions()

    @property
    def device(self) -> Any:
        return getattr(self.inner, "device", None) or next(self.inner.parameters()).device

    @property
    def vocab(self) -> int:
        return int(getattr(self.config, "vocab_size", 0) or 0)

    def _table_of_positions(self) -> int:
        """Texts that a learned table of positions has room for; 0: there is none."""
        rows = 0
        for name, module in self.inner.named_modules():
            last = name.rsplit(".", 1)[-1]
            if type(module).__name__.endswith("Embedding") and ("wpe" in last or "position" in last) and \
                    hasattr(module, "num_embeddings"):
                rows = int(module.num_embeddings) - int(getattr(module, "offset", 0) or 0)
                padding = getattr(module, "padding_idx", None)
                rows -= 0 if padding is None else padding + 1
        return rows

    def require_room(self, ids: Sequence[int], past: int) -> None:
        """Said before the call: on a GPU what is out of range ends the process's use of it."""
        vocab = self.vocab
        if vocab and (min(ids) < 0 or max(ids) >= vocab):
            raise Error("a token that the model does not have", expected=f"ids from 0 to {vocab - 1}",
                        found=str(max(ids) if max(ids) >= vocab else min(ids)))
        if self.table and past + len(ids) > self.table:
            raise Error("the text is longer than the model's table of positions", expected=f"at most {self.table} tokens",
                        found=str(past + len(ids)), hint="a shorter text")

    def call(self, ids: Any, past: Any = None, keep: Optional[int] = None, **more: Any) -> Any:
        """The output for a batch of ids [[...]], or a tensor. `keep`: of the last tokens the logits are wanted."""
        import time

        import torch

        given = ids if isinstance(ids, torch.Tensor) else torch.tensor(ids, device=self.device)
        if past is not None and self.past_name is not None:
            more[self.past_name] = past
        if "use_cache" in self.takes or "kwargs" in self.takes:
            more.setdefault("use_cache", True)
        if keep is not None and "logits_to_keep" in self.takes:
            more.setdefault("logits_to_keep", keep)
        self.calls += 1
        self.tokens += given.numel()
        start = time.perf_counter()
        with torch.no_grad():
            out = self.model(input_ids=given, **more)
        self.seconds += time.perf_counter() - start
        return out

    def logits_in(self, out: Any) -> Any:
        logits = getattr(out, "logits", None)
        if logits is None:
            logits = getattr(out, "last_hidden_state", None)
            self.gives_hidden = logits is not None
        if logits is None:
            raise Error("the model gives neither logits nor hidden states", where=type(self.inner).__name__,
                        found=type(out).__name__, kind="load")
        return logits.detach()

    def past_in(self, out: Any) -> Any:
        for name in ([self.past_name] if self.past_name else []) + list(PASTS):
            past = getattr(out, name, None)
            if past is not None:
                return past
        return None


def on_cpu(logits: Any) -> Any:
    """[tokens, vocab] of one text, where C++ can read it."""
    return logits.detach().resolve_conj().to("cpu")


class Session:
    """One text being fed to a model, with its past."""

    def __init__(self, of: "TransformersSubject", past: Any = None, fed: Optional[list[int]] = None) -> None:
        self._of, self._past, self._ids = of, past, list(fed or [])
        self._shared: Optional[tuple["Batch", int]] = None
        if of.can_fork is None:
            self.fork = self._fork
        if of.can_rewind is None:
            self.rewind = self._rewind
        if of.looks:
            self.look = self._look

    # --- what the checker asks for

    def feed(self, ids: Sequence[int]) -> Any:
        return self._feed(list(ids))

    def skip(self, ids: Sequence[int]) -> None:
        self._feed(list(ids), keep=1)

    def length(self) -> Optional[int]:
        if self._shared is not None:
            return length_of(self._shared[0].past)
        return length_of(self._past)

    def _fork(self) -> "Session":
        try:
            past = forked(self._past)
        except Exception as error:  # noqa: BLE001 - whatever a library raises
            raise Error("the past cannot be copied", found=first_line(error)) from error
        return Session(self._of, past, self._ids)

    def _rewind(self, length: int) -> None:
        if length < len(self._ids):
            crop(self._past, len(self._ids) - length)
        self._ids = self._ids[:length]

    def _look(self, ids: Sequence[int]) -> tuple[Any, list[Any]]:
        with self._of.layers.watched() as states:
            logits = self._feed(list(ids), whole=True)
        return logits, states.rows()

    # --- how

    def _feed(self, ids: list[int], keep: Optional[int] = None, whole: bool = False) -> Any:
        of, before = self._of, len(self._ids)
        of.caller.require_room(ids, before)
        if before == 0:
            of.begun.add(tuple(ids))
            self._past = of.new_past() if self._past is None else self._past
        try:
            out = of.way(self._past, self._ids, ids, keep or (1 if of.by_blocks(len(ids)) and not whole else None))
        except Error:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError, KeyError,
                NotImplementedError) as error:
            if "out of memory" in str(error):
                raise
            raise Error(f"the model refuses a call of {len(ids)} tokens after a past of {before}", found=first_line(error),
                        where=type(of.caller.inner).__name__, kind="usage") from error
        self._past = of.caller.past_in(out)
        self._ids = self._ids + ids
        if keep is None and not whole and of.by_blocks(len(ids)):
            return of.blocks(out, len(ids))
        logits = of.caller.logits_in(out)[0]
        return on_cpu(logits[-(keep or len(ids)):])


class Batch:
    """Two texts that share one past of two rows."""

    def __init__(self, past: Any, ids: list[list[int]]) -> None:
        self.past, self.ids = past, ids


def crop(past: Any, count: int) -> None:
    """Takes the last `count` tokens back. pkv.Error where the past refuses."""
    if not hasattr(past, "crop"):
        raise Error(f"a {type(past).__name__} cannot be cut")
    try:
        past.crop(-count)  # the one sign that all versions understand alike
    except Exception as error:  # noqa: BLE001
        raise Error("the past cannot be cut", found=first_line(error)) from error


class Layers:
    """The decoder's layers, whose outputs are seen through hooks."""

    def __init__(self, model: Any) -> None:
        import torch

        inner = unwrapped(model)
        count = getattr(text_config(model), "num_hidden_layers", None)
        lists = [m for _, m in inner.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 0]
        same = [m for m in lists if len(m) == count]
        self.layers = list((same or sorted(lists, key=len))[0 if same else -1]) if lists else []

    def watched(self) -> "Watch":
        return Watch(self.layers)


class Watch:
    def __init__(self, layers: list[Any]) -> None:
        self.layers, self.hooks = layers, []  # type: ignore[var-annotated]
        self.embedded: Any = None
        self.after: list[Any] = [None] * len(layers)
        self.times = [0] * len(layers)

    def __enter__(self) -> "Watch":
        def entered(_: Any, args: Any, kwargs: Any) -> None:
            given = args[0] if args else kwargs.get("hidden_states")
            if self.embedded is None and given is not None:
                self.embedded = given.detach().clone()

        def left(index: int) -> Callable[..., None]:
            def hook(_: Any, __: Any, out: Any) -> None:
                self.times[index] += 1
                self.after[index] = (out[0] if isinstance(out, tuple) else out).detach().clone()
            return hook

        self.hooks.append(self.layers[0].register_forward_pre_hook(entered, with_kwargs=True))
        for i, layer in enumerate(self.layers):
            self.hooks.append(layer.register_forward_hook(left(i)))
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self.hooks:
            hook.remove()

    def sound(self) -> bool:
        states = [self.embedded, *self.after]
        return all(n == 1 for n in self.times) and all(
            s is not None and getattr(s, "ndim", 0) == 3 and s.shape == states[0].shape for s in states)

    def rows(self) -> list[Any]:
        return [on_cpu(state[0]) for state in [self.embedded, *self.after]]


class TransformersSubject:
    """A model as it is called plainly, or as ``generate`` calls it; with the past that it makes, or one of a factory."""

    def __init__(self, model: Any, *, as_generate: bool = False, new_past: Optional[Callable[[int], Any]] = None,
                 limit: int = 0, name: str = "", explain: bool = True) -> None:
        self.caller = Caller(model)
        self.as_generate, self._new_past, self.limit, self.name = as_generate, new_past, limit, name
        self.can_fork: Optional[str] = None    # why it cannot; None: it can
        self.can_rewind: Optional[str] = None
        self.looks = False
        self.explain = explain
        self.layers = Layers(model)
        self.past_type = ""
        self.says_croppable: Optional[bool] = None
        self.supposer: Any = None
        self.begun: set[tuple[int, ...]] = set()  # what was fed in first calls
        self._big = False
        self._head_fits: Optional[bool] = None

    # --- a trial run, so that what cannot be done is known before it is asked for

    def try_powers(self, ids: Sequence[int]) -> None:
        """Feeds the text once or twice, and sees whether its past can be copied and cut."""
        import torch

        vocab = self.caller.vocab
        self._big = vocab * len(ids) * 4 > MOST_BYTES and "logits_to_keep" in self.caller.takes
        session = Session(self)
        session._feed(list(ids), keep=1)
        past = session._past
        self.past_type = type(past).__name__ if past is not None else "none"
        if hasattr(past, "layers"):
            kinds = sorted({type(layer).__name__ for layer in past.layers})
            self.past_type += f"[{', '.join(kinds)}]" if kinds else ""
        self.says_croppable = getattr(past, "is_croppable", None)
        if past is None:
            self.can_fork = self.can_rewind = "no past is kept"
        else:
            try:
                forked(past)
            except Exception as error:  # noqa: BLE001
                self.can_fork = first_line(error)
            try:
                if not hasattr(past, "crop"):
                    raise AttributeError(f"a {type(past).__name__} has no crop()")
                past.crop(1 - len(ids))
                said = length_of(past)
                if said is not None and said < 0:
                    raise ValueError(f"a length of {said} after crop()")
            except Exception as error:  # noqa: BLE001
                self.can_rewind = first_line(error)
        if self.explain and self.layers.layers and not hasattr(self.caller.model, "_orig_mod"):
            with self.layers.watched() as states:
                self.caller.call([list(ids)[:2]], past=self.new_past(), keep=1)
            self.looks = states.sound()
        if self.explain and self.supposer is None:
            from .suppose import Supposer

            self.supposer = Supposer(self)
            self.suppose = self.supposer.suppose
        del torch

    def new_past(self) -> Any:
        return self._new_past(self.limit) if self._new_past is not None else None

    # --- Feeder

    def describe(self) -> dict[str, Any]:
        import torch
        import transformers

        inner, config = self.caller.inner, self.caller.config
        dtype = str(getattr(inner, "dtype", torch.float32)).removeprefix("torch.")
        values = FORMATS.get(dtype, "fp32")
        quantised = getattr(inner, "quantization_method", None)
        hidden = getattr(config, "hidden_size", 0) or 0
        inner_sizes = [getattr(config, n, None) for n in ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")]
        width = max([hidden] + [n for n in inner_sizes if isinstance(n, int)] + ([] if any(inner_sizes) else [4 * hidden]))
        attention = getattr(config, "_attn_implementation", None) or "its own attention"
        vocab = self.caller.vocab
        return {
            "name": self.name or (getattr(inner, "name_or_path", "") or type(inner).__name__),
            "family": getattr(config, "model_type", type(inner).__name__),
            "system": f"transformers {transformers.__version__}, torch {torch.__version__}, "
                      f"{str(self.caller.device).split(':')[0]}, {attention}",
            "format": str(getattr(quantised, "value", quantised)) if quantised else values,
            "values_format": "fp32" if values == "fp64" else values,
            "layers": int(getattr(config, "num_hidden_layers", 0) or 0), "width": int(width), "vocab": vocab,
        }

    def fresh(self) -> Session:
        return Session(self)

    def feed_together(self, feeds: list[tuple[Session, list[int]]]) -> list[Any]:
        sessions, texts = [s for s, _ in feeds], [t for _, t in feeds]
        same = len({len(t) for t in texts}) == 1 and self._new_past is None
        begin = all(not s._ids for s in sessions)
        batches = {id(s._shared[0]) if s._shared else None for s in sessions}
        go_on = len(batches) == 1 and None not in batches
        if not same or not (begin or go_on):
            return [s.feed(t) for s, t in feeds]
        for text in texts:
            self.caller.require_room(text, len(sessions[0]._ids))
        batch = sessions[0]._shared[0] if go_on else Batch(None, [[] for _ in sessions])  # type: ignore[index]
        try:
            out = self.way(batch.past, batch.ids, texts, None)
        except Error:
            raise
        except Exception as error:  # noqa: BLE001
            raise Error("the model refuses a batch", found=first_line(error)) from error
        batch.past = self.caller.past_in(out)
        logits = self.caller.logits_in(out)
        results = []
        for row, session in enumerate(sessions):
            session._shared = (batch, row)
            batch.ids[row] = batch.ids[row] + texts[row]
            session._ids = session._ids + texts[row]
            results.append(on_cpu(logits[row, -len(texts[row]):]))
        return results

    # --- the two ways of calling

    def way(self, past: Any, before: list[Any], ids: list[Any], keep: Optional[int]) -> Any:
        """The output of a call that goes on; `before` and `ids` of one text, or of several."""
        several = bool(ids) and isinstance(ids[0], list)
        texts = ids if several else [ids]
        if not self.as_generate:
            return self.caller.call(texts, past=past, keep=keep)
        fed = before if several else [before]
        return self._as_generate(past, [a + b for a, b in zip(fed, texts)], len(texts[0]), len(fed[0]) == 0, keep)

    def _as_generate(self, past: Any, all_ids: list[list[int]], new: int, first: bool, keep: Optional[int],
                     mask: Any = None) -> Any:
        import torch

        inner = self.caller.inner
        ids = torch.tensor(all_ids, device=self.caller.device)
        given: dict[str, Any] = {"use_cache": True}
        if "position_ids" in self.caller.takes:
            ones = torch.ones_like(ids) if mask is None else mask
            given["position_ids"] = (ones.cumsum(-1) - 1).clamp(min=0)
        if mask is not None:
            given["attention_mask"] = mask
        if self.caller.past_name is not None:
            given[self.caller.past_name] = past
        takes = inspect.signature(inner.prepare_inputs_for_generation).parameters
        if "next_sequence_length" in takes or "kwargs" in takes:
            given["next_sequence_length"] = None if first else new
        if "cache_position" in takes:
            given["cache_position"] = torch.arange(ids.shape[1] - new, ids.shape[1], device=ids.device)
        prepared = inner.prepare_inputs_for_generation(ids, is_first_iteration=first, **given)
        if prepared.get("input_ids") is None:
            raise Error("the model's prepare_inputs_for_generation gives no ids", where=type(inner).__name__)
        prepared = {k: v for k, v in prepared.items() if k not in ("logits_to_keep", "return_dict")}
        text = prepared.pop("input_ids")
        handed = prepared.pop(self.caller.past_name, None) if self.caller.past_name else None
        return self.caller.call(text, past=handed, keep=keep, **prepared)

    # --- logits that are too many to be had at once

    def by_blocks(self, count: int) -> bool:
        return self._big and count * self.caller.vocab * 4 > MOST_BYTES and self._head() is not None and \
            self._head_fits is not False

    def _head(self) -> Any:
        head = getattr(self.caller.inner, "get_output_embeddings", lambda: None)()
        if head is None or self._head_fits is False:
            return None
        if self._head_fits is None:
            self._watch_head(head)
        return head

    # What goes into the head is kept. The head gives the model's own logits, or it is not used so (scaled logits, caps).
    def _watch_head(self, head: Any) -> None:
        import torch

        kept: list[Any] = []
        hook = head.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach()))
        try:
            out = self.caller.call([[1 % max(self.caller.vocab, 2), 0]], past=self.new_past())
        finally:
            hook.remove()
        with torch.no_grad():
            self._head_fits = bool(kept) and torch.equal(head(kept[-1])[0, -2:].float(), self.caller.logits_in(out)[0].float())
        if not self._head_fits:
            return
        body = next((m for name, m in self.caller.inner.named_children() if m is not head), None)
        self._kept: Any = None
        if body is None:
            self._head_fits = False
            return

        def keep_states(_: Any, __: Any, out: Any) -> None:
            state = getattr(out, "last_hidden_state", None)
            self._kept = None if state is None else state.detach()

        self._body_hook = body.register_forward_hook(keep_states)

    def blocks(self, out: Any, count: int) -> Any:
        import torch

        states, head = self._kept, self.caller.inner.get_output_embeddings()
        self._kept = None
        if states is None:
            raise Error("the model's body does not show its states", kind="load", hint="a shorter text")

        def one_by_one() -> Any:
            with torch.no_grad():
                for at in range(0, count, BLOCK):
                    part = states[0, states.shape[1] - count + at:states.shape[1] - count + min(at + BLOCK, count)]
                    yield on_cpu(head(part))

        return one_by_one()

    def close(self) -> None:
        hook = getattr(self, "_body_hook", None)
        if hook is not None:
            hook.remove()
