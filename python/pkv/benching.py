"""pkv.bench: what does a past gain, in seconds?"""

from __future__ import annotations

import json
import os
from typing import Any, Optional, Sequence, Union

from . import _pkv
from .errors import Error
from .report import frame


class BenchReport:
    """What was measured. ``table``: generation; ``reuse``: the first token after a prefix."""

    def __init__(self, bench: _pkv.Bench, notes: Sequence[str] = ()) -> None:
        self._bench, self.notes = bench, [*notes, *bench.notes]

    @property
    def holds(self) -> bool:
        """Every variant gave the same answer."""
        return self._bench.holds

    @property
    def headline(self) -> str:
        return self._bench.headline

    @property
    def table(self) -> Any:
        return frame(self._bench.generation)

    @property
    def reuse(self) -> Any:
        return frame(self._bench.reuse)

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self._bench.json())
        return made

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes .html, .json, .md or .svg."""
        kind = os.path.splitext(str(path))[1].lower()
        form = {".html": "html", ".json": "json", ".md": "markdown", ".svg": "svg"}.get(kind)
        if form is None:
            raise Error("no form of a measurement goes by this ending", where=str(path), expected=".html, .json, .md, .svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(getattr(self._bench, form)())

    def __str__(self) -> str:
        return self._bench.text(False, 80) + "".join(f"{note}\n" for note in self.notes)

    def __repr__(self) -> str:
        return f"<pkv.BenchReport: {self.headline}>"

    def _repr_html_(self) -> str:
        page = self._bench.html().replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" style="width:100%;height:36em;border:0"></iframe>'


def bench(model: Any, tokenizer: Any = None, text: Any = None, *, new_tokens: int = 32,
          prompt_tokens: Sequence[int] = (16,), prefix_tokens: Sequence[int] = (), repetitions: int = 5, warmup: int = 1,
          seconds: float = 20.0) -> BenchReport:
    """Times generation with and without the past, and the first token after a prefix whose past is there already.

    Of a transformers model the variants are held against each other by the tokens that they choose, since other shapes
    of a product round otherwise; each time ends when the token is known on the CPU, so that GPUs are waited for.
    """
    needed = max([*[p + 1 for p in prompt_tokens], *[p + 1 for p in prefix_tokens], 2]) + new_tokens
    notes: list[str] = []
    subject: Any = model
    vocab = 0
    if hasattr(model, "_engine"):
        subject, vocab = model._engine, model.vocab
    elif not (hasattr(model, "describe") and hasattr(model, "fresh")):
        subject = ChosenTokens(model)
        vocab = subject.caller.vocab
        notes.append("The variants are compared by the tokens they choose.")
    ids: Optional[list[int]] = None
    if text is not None:
        from .checking import ids_of

        ids, _ = (model.ids(text), "") if hasattr(model, "_engine") and isinstance(text, str) else ids_of(tokenizer, text)
        ids = (ids * (needed // len(ids) + 1))[:needed]
    else:
        vocab = vocab or int(subject.describe().get("vocab") or 0)
        if not vocab:
            raise Error("this system does not say how many tokens it knows", hint="give a text")
        ids = [(i * 7919 + 13) % vocab for i in range(needed)]
    return BenchReport(_pkv.bench(subject, ids, new_tokens, list(prompt_tokens), list(prefix_tokens), repetitions, warmup,
                                  seconds), notes)


def ChosenTokens(model: Any) -> Any:
    """A model whose logits say no more than which token is the likeliest."""
    import torch

    from .live import Session, TransformersSubject

    class Chosen(Session):
        def _row(self, logits: Any) -> Any:
            chosen = int(logits[-1].float().argmax())  # waits for the device
            row = torch.zeros(1, logits.shape[-1])
            row[0, chosen] = 1
            return row

        def feed(self, ids: Sequence[int]) -> Any:
            return self._feed_device(list(ids))

        feed_last = feed

        def _feed_device(self, ids: list[int]) -> Any:
            of = self._of
            of.caller.require_room(ids, len(self._ids))
            out = of.way(self._past, self._ids, ids, 1)
            self._past = of.caller.past_in(out)
            self._ids = self._ids + ids
            return self._row(of.caller.logits_in(out)[0])

        def skip(self, ids: Sequence[int]) -> None:
            self._feed_device(list(ids))

        def _fork(self) -> "Chosen":
            other = super()._fork()
            return Chosen(self._of, other._past, other._ids)

    class Subject(TransformersSubject):
        feed_together = None  # type: ignore[assignment]

        def fresh(self) -> Any:
            return Chosen(self)

    subject = Subject(model, explain=False)
    subject.try_powers([1 % max(subject.caller.vocab, 2)] * 4)
    return subject
