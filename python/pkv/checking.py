"""pkv.check: can the past of a model that you hold be reused?"""

from __future__ import annotations

import time
from typing import Any, Callable, Optional, Sequence, Union

from . import _pkv
from .errors import Error
from .report import Report, Reports

WIDE_MOST_BYTES = 4 << 30  # of a copy of the weights in a wider format


def ids_of(tokenizer: Any, text: Any) -> tuple[list[int], str]:
    """(ids, the text as it is shown) of a text, of ids, or of a list of messages."""
    if hasattr(text, "tolist"):
        text = text.tolist()
        if text and isinstance(text[0], list):
            if len(text) != 1:
                raise Error("ids of several texts in one array", expected="one row, or a list of texts",
                            found=f"{len(text)} rows")
            text = text[0]
    if isinstance(text, str):
        if tokenizer is None:
            raise Error("a text needs a tokenizer", where="check(model, tokenizer, text)",
                        hint="pass the tokenizer, or ids instead of the text")
        made = tokenizer(text) if callable(tokenizer) else {"input_ids": tokenizer.encode(text)}
        return [int(i) for i in made["input_ids"]], text
    if isinstance(text, (list, tuple)) and text and isinstance(text[0], dict):
        if tokenizer is None or not hasattr(tokenizer, "apply_chat_template"):
            raise Error("messages need a tokenizer with a chat template", hint="ids, or a text")
        made = tokenizer.apply_chat_template(list(text), tokenize=True, add_generation_prompt=True, return_dict=True)
        shown = tokenizer.apply_chat_template(list(text), tokenize=False, add_generation_prompt=True)
        return [int(i) for i in made["input_ids"]], shown
    if isinstance(text, (list, tuple)) and text and all(hasattr(i, "__index__") for i in text):
        return [int(i) for i in text], ""
    raise Error("there is no text to check", expected="a text, ids, a list of messages, or a list of these",
                found=repr(text)[:60])


def _several(text: Any) -> Optional[list[Any]]:
    if isinstance(text, (list, tuple)) and text and not isinstance(text[0], dict) and not hasattr(text[0], "__index__"):
        return list(text)
    return None


def check(model: Any, tokenizer: Any = None, text: Any = "I like to eat", *,
          splits: Union[str, Sequence[int], None] = None, caches: Sequence[Any] = (), explain: bool = True,
          cache: Optional[Callable[[int], Any]] = None, as_generate: bool = True, wide: Optional[bool] = None,
          name: str = "") -> Any:
    """Checks whether a model's past can be reused: is a text, fed in pieces, given the logits that it gets fed whole?

    ``model``: a transformers model (any device, any dtype, quantised or compiled), a ``pkv.Model``, or anything with
    ``describe()`` and ``fresh()`` (see ``pkv.Feedable``). ``text``: a text, ids, a list of messages, or a list of these,
    which gives ``pkv.Reports``. ``splits``: "all", "last", or past lengths; up to 64 tokens all are tried.
    ``caches``: kinds of cache to try, too, of "dynamic", "static", "quantized", "offloaded", or (name, function of the
    longest length that returns a cache). ``cache``: such a function, for all of the check. ``explain``: look for the
    cause of a difference. ``as_generate``: also call the model as ``generate`` would. ``wide``: run a copy of the model
    in a wider format, too (by default where that takes less than 4 GiB).
    """
    texts = _several(text)
    options: dict[str, Any] = {"splits": splits, "caches": caches, "explain": explain, "cache": cache,
                               "as_generate": as_generate, "wide": wide, "name": name}
    if texts is not None:
        return Reports([check(model, tokenizer, one, **options) for one in texts])
    if hasattr(model, "_engine"):
        ids, shown = (model.ids(text), text) if isinstance(text, str) else ids_of(None, text)
        return Report(_pkv.check(model._engine, ids, splits, shown))
    if hasattr(model, "describe") and hasattr(model, "fresh"):
        ids, shown = ids_of(tokenizer, text)
        return Report(_pkv.check(model, ids, splits, shown))
    if not callable(getattr(model, "forward", None)):
        raise Error("this is no transformers model", found=type(model).__name__,
                    expected="a PreTrainedModel, a pkv.Model, or an object with describe() and fresh()",
                    hint="pkv.Feedable(...) makes one of a function")
    ids, shown = ids_of(tokenizer, text)
    return LiveCheck(model, ids, shown, options).run()


def assert_reusable(model: Any, tokenizer: Any = None, text: Any = "I like to eat", **options: Any) -> Any:
    """Fails, with the report's words, unless the model's past can be reused. Returns the report. For tests."""
    report = check(model, tokenizer, text, **options)
    _seen.append(report)
    if not report.holds:
        raise AssertionError("the past cannot be reused\n" + str(report))
    return report


_seen: list[Any] = []  # reports of assert_reusable(), for the page of the pytest plugin


class LiveCheck:
    """The check of a transformers model: the checker's own, and what only a live model can be asked."""

    def __init__(self, model: Any, ids: list[int], shown: str, options: dict[str, Any]) -> None:
        import torch

        from .live import TransformersSubject, unwrapped

        if len(ids) < 2:
            raise Error("the text is too short to be split", expected="at least two tokens", found=f"{len(ids)}",
                        hint="a longer text")
        self.model, self.ids, self.shown, self.options = model, ids, shown, options
        self.inner = unwrapped(model)
        self.training = bool(getattr(self.inner, "training", False))
        if self.training:
            self.inner.eval()
        self.subject = TransformersSubject(model, new_past=options["cache"], limit=self.limit(), name=options["name"],
                                           explain=options["explain"])
        self.torch = torch

    def limit(self) -> int:
        return 2 * len(self.ids) + 8

    def run(self) -> Report:
        start = time.perf_counter()
        try:
            return self._run(start)
        finally:
            self.subject.close()
            if self.training:
                self.inner.train()

    def _run(self, start: float) -> Report:
        subject, ids = self.subject, self.ids
        subject.caller.require_room(ids, 0)
        subject.try_powers(ids)
        self.notes: list[str] = []
        self.wide = self.wide_subject() if subject.past_type != "none" else None
        check = _pkv.check(subject, ids, self.options["splits"], self.shown, self.rounding())
        if check.outcome == "differs" and check.max_abs <= 64 * check.bound and self.wide is not None:
            # So little: did one of the other texts round more? All that were fed whole are measured.
            more = [list(t) for t in sorted(subject.begun) if len(t) == len(ids)]
            if self.rounding(more) * 4 > check.bound:
                check = _pkv.check(subject, ids, self.options["splits"], self.shown, self.noise)
        self.check = check
        for note in self.notes:
            check.add_note(note)
        plain = {"verdict": check.outcome, "max |Δ|": check.in_pieces}
        ways = {"plain": plain}
        if self.training:
            check.add_note("The model was in training mode; it was set to evaluation for the check, and back.")
        if subject.caller.gives_hidden:
            check.add_note("The model gives no logits; its hidden states were compared.")
        self.no_past = subject.past_type == "none"
        if not self.no_past:
            if self.options["as_generate"] and self.options["cache"] is None:
                ways["generate"] = self.as_generate()
            if self.options["cache"] is not None:
                self.against_no_cache()
            self.left_padding()
            powers = self.rewinding()
            self.in_wide()
        else:
            powers = {}
        check.judge()
        if self.options["explain"] and check.outcome in ("differs", "not finite"):
            from .diagnosis import diagnose

            diagnose(self, ways)
            if subject.supposer is not None and subject.supposer.gave_up and not check.causes():
                check.add_note("Not all causes were tried: there are more of them and their pairs than 600 runs.")
            check.judge()
        self.say_ways(ways)
        rows = [self.cache_row(kind) for kind in self.options["caches"]]
        total = time.perf_counter() - start
        caller = subject.caller
        return Report(check, ways=ways, caches=rows, powers=powers, past=subject.past_type,
                      cost={"seconds": total, "model seconds": caller.seconds, "calls": caller.calls,
                            "tokens": caller.tokens})

    # --- logits

    def whole(self, subject: Any = None) -> Any:
        return (subject or self.subject).fresh().feed(self.ids)

    # --- as generate calls it

    def as_generate(self) -> dict[str, Any]:
        from .live import TransformersSubject

        name, told = "as generate calls", "pieces, prepared as generate() prepares its inputs"
        if not hasattr(self.inner, "prepare_inputs_for_generation"):
            self.check.add_left_out(name, told, "the model does not generate")
            return {"verdict": "left out", "max |Δ|": None}
        generate = TransformersSubject(self.model, as_generate=True, explain=False)
        generate.can_fork = generate.can_rewind = "not asked"
        n, worst, right = len(self.ids), 0.0, None
        half = max(1, n // 2)
        try:
            right = rows_of(self.whole())
            for pieces in ([half] + [1] * (n - half), [half, n - half], cut(n, 7)):
                session, past = generate.fresh(), 0
                rows = []
                for length in pieces:
                    rows.append(rows_of(session.feed(self.ids[past:past + length])))
                    past += length
                got = self.torch.cat(rows[1:]) if len(rows) > 1 else None
                if got is None:
                    continue
                first = pieces[0]
                self.check.add_experiment(name, told, right[first:], got, first, first)
                worst = max(worst, float((right[first:].float() - got.float()).abs().max()))
        except Error as error:
            self.check.add_left_out(name, told, error.found or error.what)
            return {"verdict": "left out", "max |Δ|": None, "why": error.found or error.what}
        except Exception as error:  # noqa: BLE001
            from .live import first_line

            self.check.add_left_out(name, told, first_line(error))
            return {"verdict": "left out", "max |Δ|": None, "why": first_line(error)}
        return {"verdict": "differs" if worst > self.check.bound else "equal within rounding", "max |Δ|": worst}

    def say_ways(self, ways: dict[str, dict[str, Any]]) -> None:
        if "generate" not in ways or ways["generate"]["verdict"] == "left out":
            return
        plain, generate = (ways[way]["verdict"] == "differs" for way in ("plain", "generate"))
        if plain and not generate:
            self.check.add_note("As generate() calls the model, with positions handed over, all is well: only plain calls "
                                "of model(...) differ.")
        elif generate and not plain:
            self.check.add_note("Plain calls of model(...) agree; as generate() prepares its inputs, they differ.")

    # --- a cache that was handed over, against none at all

    def against_no_cache(self) -> None:
        right = self.subject.caller.logits_in(self.subject.caller.call([self.ids]))[0]
        self.check.add_experiment("without any cache", "the text fed whole with the cache that was given, and with none",
                                  rows_of(right), rows_of(self.whole()), 0, 0)

    # --- left padding

    def left_padding(self) -> None:
        import torch

        name = "left padding"
        told = "beside a longer text, padded at the left, with mask and positions; in pieces and whole"
        caller, ids, n = self.subject.caller, self.ids, len(self.ids)
        if "attention_mask" not in caller.takes or self.options["cache"] is not None:
            self.check.add_left_out(name, told, "the model takes no mask")
            return
        pads = min(3, max(1, n // 2))
        room = n + pads
        if caller.table and room > caller.table:
            self.check.add_left_out(name, told, "the table of positions has no room for it")
            return
        other = [ids[(i * 7 + 1) % n] for i in range(room)]
        device = caller.device
        batch = torch.tensor([[ids[0]] * pads + ids, other], device=device)
        mask = torch.ones_like(batch)
        mask[0, :pads] = 0
        places = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)} if "position_ids" in caller.takes else {}
        cut_at = pads + max(1, n // 2)
        try:
            whole = caller.logits_in(caller.call(batch, attention_mask=mask, **places))
            first = caller.call(batch[:, :cut_at], keep=1, attention_mask=mask[:, :cut_at],
                                **{k: v[:, :cut_at] for k, v in places.items()})
            rest = caller.call(batch[:, cut_at:], past=caller.past_in(first), attention_mask=mask,
                               **{k: v[:, cut_at:] for k, v in places.items()})
            got = caller.logits_in(rest)
        except Exception as error:  # noqa: BLE001
            from .live import first_line

            self.check.add_left_out(name, told, f"refused: {first_line(error)}")
            return
        past = cut_at - pads
        for row in (0, 1):
            self.check.add_experiment(name, told, rows_of(whole[row, cut_at:]), rows_of(got[row]), past, past)

    # --- what cannot be rewound says so

    def rewinding(self) -> dict[str, Any]:
        subject = self.subject
        fork = "yes" if subject.can_fork is None else f"no: {subject.can_fork}"
        if subject.can_rewind is None:
            wrong = [e for e in self.check.experiments() if e["experiment"].startswith("rewind") and e["first"]]
            rewind = "yes" if not wrong else "crop() does not raise, and the logits are wrong"
        else:
            rewind = f"cannot be rewound: {subject.can_rewind}"
        powers: dict[str, Any] = {"fork": fork, "rewind": rewind}
        if subject.can_rewind is not None or "LinearAttention" in subject.past_type:
            from .diagnosis import recorded_rewind

            said = recorded_rewind(self)
            if said is not None:
                powers["rewind, recording"] = said
        if subject.says_croppable is not None:
            powers["is_croppable"] = bool(subject.says_croppable)
        return powers

    # --- a wider format

    def rounding(self, others: Sequence[list[int]] = ()) -> float:
        """How far logits of whole texts are from those in the wider format; 0 where that is not known."""
        self.wide_whole, self.noise = None, 0.0
        if self.wide is None:
            return 0.0
        try:
            for text in [self.ids, *others]:
                narrow = rows_of(self.subject.fresh().feed(text)).double()
                with widely(self.wide):
                    wide = rows_of(self.wide.fresh().feed(text))
                if text is self.ids:
                    self.wide_whole = wide
                self.noise = max(self.noise, float((narrow - wide.double()).abs().max()))
            return self.noise
        except Exception:  # noqa: BLE001 - a wider copy is a help, not a need
            self.wide = None
            return 0.0

    def wide_subject(self) -> Any:
        import copy

        from .live import TransformersSubject

        torch, inner = self.torch, self.inner
        dtype = getattr(inner, "dtype", None)
        target = {torch.float32: torch.float64, torch.float16: torch.float32, torch.bfloat16: torch.float32}.get(dtype)
        if target is None or getattr(inner, "is_quantized", False) or getattr(inner, "quantization_method", None) or \
                hasattr(self.model, "_orig_mod") or self.options["wide"] is False:
            return None
        size = sum(p.numel() for p in inner.parameters()) * torch.finfo(target).bits // 8
        if size > WIDE_MOST_BYTES and not self.options["wide"]:
            self.notes.append(f"No copy in {str(target).removeprefix('torch.')} was run: it takes "
                              f"{size / 2**30:.1f} GiB. wide=True runs it.")
            return None
        try:
            copied = copy.deepcopy(inner).to(target)
            if target == torch.float64 and hasattr(copied, "set_experts_implementation"):
                try:
                    copied.set_experts_implementation("eager")
                except Exception:  # noqa: BLE001 - of models without experts
                    pass
            subject = TransformersSubject(copied, new_past=self.options["cache"], limit=self.limit(),
                                          explain=target == torch.float32 and self.options["explain"])
            with widely(subject):
                subject.try_powers(self.ids)
            return subject
        except Exception:  # noqa: BLE001 - a wider copy is a help, not a need
            return None

    def in_wide(self) -> None:
        """Both runs in a wider format at two splits: what rounding explains there is little."""
        subject = self.wide
        if subject is None or self.wide_whole is None:
            return
        format_ = "fp64" if subject.caller.inner.dtype == self.torch.float64 else "fp32"
        n = len(self.ids)
        splits = sorted({n - 1, max(1, n // 2)})
        try:
            whole, wide_whole = rows_of(self.whole()), self.wide_whole
            for past in splits:
                rows = []
                for fed in (self.subject, subject):
                    with widely(fed):
                        session = fed.fresh()
                        session.skip(self.ids[:past])
                        rows.append(rows_of(session.feed(self.ids[past:])))
                self.check.add_wide(whole[past:], rows[0], wide_whole[past:], rows[1], format_)
        except Exception:  # noqa: BLE001
            return
        if format_ == "fp32" and self.options["explain"]:
            # Of a 16-bit model: what rounding hides there shows in fp32, with its cause.
            wide = _pkv.check(subject, self.ids, self.options["splits"], self.shown)
            if wide.outcome == "differs":
                self.check.judge()
                self.check.clear_causes()
                self.check.adopt_causes(wide)
                self.wide_check = wide

    # --- kinds of cache

    def cache_row(self, kind: Any) -> dict[str, Any]:
        from .caches import factory_of
        from .live import TransformersSubject, first_line

        label, make, why = factory_of(kind, self.inner)
        row: dict[str, Any] = {"cache": label, "verdict": "not possible here", "max |Δ|": None, "cause": "", "why": why,
                               "rewind": "", "fork": ""}
        if make is None:
            return row
        subject = TransformersSubject(self.model, new_past=make, limit=self.limit(), explain=False)
        try:
            subject.try_powers(self.ids)
            check = _pkv.check(subject, self.ids, self.options["splits"], self.shown, self.noise)
            plain = self.subject.caller.logits_in(self.subject.caller.call([self.ids]))[0]
            check.add_experiment("without any cache", "the text fed whole with this cache, and with none",
                                 rows_of(plain), rows_of(subject.fresh().feed(self.ids)), 0, 0)
            if "Quant" in subject.past_type and check.max_abs > check.bound:
                check.add_cause("past-quantised", "the cache keeps keys and values in fewer bits, by design",
                                "the cache's number of bits and how its scales are made",
                                f"layers are {subject.past_type}; logits move by {check.max_abs:.2g}", True, 1, 0)
            check.judge()
        except Error as error:
            row["why"] = error.found or error.what
            return row
        except Exception as error:  # noqa: BLE001
            row["why"] = first_line(error)
            return row
        row.update({"verdict": check.outcome, "max |Δ|": check.max_abs, "why": "",
                    "cause": check.causes()[0]["cause"] if check.causes() else "",
                    "rewind": subject.can_rewind or "yes", "fork": subject.can_fork or "yes"})
        return row


def widely(subject: Any) -> Any:
    """While a model in fp64 is run: what it would compute in fp32 in between (norms, ropes, scans) is fp64, too."""
    import contextlib

    import torch

    if getattr(subject.caller.inner, "dtype", None) != torch.float64:
        return contextlib.nullcontext()
    from .wide import Doubles

    return Doubles()


def rows_of(rows: Any) -> Any:
    """A tensor [tokens, vocab] on the CPU, of blocks, too."""
    import torch

    if hasattr(rows, "__next__"):
        rows = torch.cat(list(rows))
    return rows.detach().to("cpu")


def cut(n: int, size: int) -> list[int]:
    return [min(size, n - at) for at in range(0, n, size)]
