"""What a check found, as users hold it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Iterator, Optional, Union

from . import _pkv
from .errors import Error

_FORMS = {".html": "html", ".htm": "html", ".json": "json", ".md": "markdown", ".csv": "csv", ".xml": "junit",
          ".txt": "text"}


def frame(rows: Any, index: Optional[str] = None) -> Any:
    """A DataFrame where pandas is installed; otherwise what it would be made of."""
    try:
        import pandas
    except ImportError:
        return rows
    made = pandas.DataFrame(rows)
    return made.set_index(index) if index and len(made) else made


def _write(path: Union[str, os.PathLike[str]], content: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


class Report:
    """Prints itself in a terminal, shows itself in a notebook.

    ``verdict`` is "identical", "equal within rounding", "differs", "test is empty" or "not finite"; ``holds`` says
    whether the past can be reused. ``causes`` are dicts with "cause", "statement", "evidence", "look at".
    """

    def __init__(self, check: _pkv.Check, **more: Any) -> None:
        self._check = check
        self.ways: dict[str, dict[str, Any]] = more.get("ways", {})
        self._caches: list[dict[str, Any]] = more.get("caches", [])
        self.powers: dict[str, Any] = more.get("powers", {})
        self.past: str = more.get("past", "")
        self.cost: dict[str, float] = more.get("cost", {})

    # --- the answer

    @property
    def verdict(self) -> str:
        return self._check.outcome

    @property
    def holds(self) -> bool:
        return self._check.holds

    @property
    def sentence(self) -> str:
        return self._check.sentence

    @property
    def reasons(self) -> list[str]:
        return list(self._check.reasons)

    @property
    def same_bits(self) -> bool:
        return self._check.same_bits

    @property
    def max_abs(self) -> float:
        """The largest difference of a logit."""
        return self._check.max_abs

    @property
    def bound(self) -> float:
        """The largest difference that rounding explains."""
        return self._check.bound

    @property
    def name(self) -> str:
        return self._check.name

    # --- what it rests on

    @property
    def table(self) -> Any:
        """The article's table of the last position: mean, std, min, quartiles and max of its logits."""
        return frame(self._check.table())

    @property
    def experiments(self) -> Any:
        return frame(self._check.experiments())

    @property
    def caches(self) -> Any:
        """A row for each kind of cache that was asked for."""
        return frame(self._caches)

    @property
    def causes(self) -> list[dict[str, Any]]:
        return list(self._check.causes())

    @property
    def cause(self) -> str:
        """The name of the likeliest cause; empty where there is none."""
        found = self._check.causes()
        return found[0]["cause"] if found else ""

    @property
    def evidence(self) -> dict[str, Any]:
        return dict(self._check.evidence())

    @property
    def parting(self) -> Optional[dict[str, Any]]:
        """Where the runs part: past, position, layer; None where they do not."""
        return self._check.parting

    def to_dict(self) -> dict[str, Any]:
        """The program's JSON (docs/schema), and under "python" what only a live check knows."""
        made: dict[str, Any] = json.loads(self._check.json())
        made["python"] = self._live()
        return made

    def _live(self) -> dict[str, Any]:
        return {"ways": self.ways, "caches": self._caches, "powers": self.powers, "past": self.past, "cost": self.cost}

    # --- how it is told

    def _lines(self) -> str:
        lines = []
        if self.ways:
            told = ", ".join(f"{way}: {row['verdict']}" for way, row in self.ways.items())
            lines.append(f"ways of calling   {told}")
        if self.past:
            lines.append(f"past              {self.past}")
        for power, said in self.powers.items():
            lines.append(f"{power:<17} {said}")
        for row in self._caches:
            lines.append(f"cache {row['cache']:<11} {row['verdict']}" +
                         (f", max |Δ| {row['max |Δ|']:.2g}" if row.get("max |Δ|") is not None else "") +
                         (f": {row['why']}" if row.get("why") else ""))
        return "\n".join(lines)

    def text(self, columns: int = 80, colour: bool = False, verbose: bool = True) -> str:
        rest = "" if verbose else "report.text() shows the logits, every experiment and the proofs"
        body = self._check.text(colour, columns, rest).rstrip("\n")
        lines = self._lines()
        return body + ("\n\n" + lines if lines else "") + "\n"

    def __str__(self) -> str:
        return self.text(colour=False, columns=_columns(), verbose=False)

    def __repr__(self) -> str:
        return f"<pkv.Report {self.name}: {self.verdict}>" if not _interactive() else str(self)

    def _repr_html_(self) -> str:
        page = self._check.html().replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" style="width:100%;height:36em;border:0"></iframe>'

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes .html, .json, .md, .csv, .xml (JUnit) or .txt."""
        kind = os.path.splitext(str(path))[1].lower()
        form = _FORMS.get(kind)
        if form is None:
            raise Error("no form of a report goes by this ending", where=str(path), expected=", ".join(_FORMS),
                        found=kind or "none")
        if form == "json":
            _write(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False, default=str) + "\n")
        elif form == "text":
            _write(path, self.text())
        else:
            _write(path, getattr(self._check, form)())


class Reports:
    """Reports of several texts of one model."""

    def __init__(self, reports: list[Report]) -> None:
        self.reports = reports

    def __iter__(self) -> Iterator[Report]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    def __getitem__(self, index: int) -> Report:
        return self.reports[index]

    @property
    def holds(self) -> bool:
        return all(r.holds for r in self.reports)

    @property
    def verdict(self) -> str:
        order = ["not finite", "differs", "test is empty", "equal within rounding", "identical"]
        return min((r.verdict for r in self.reports), key=order.index)

    @property
    def table(self) -> Any:
        return frame([{"text": i, "verdict": r.verdict, "max |Δ|": r.max_abs, "cause": r.cause}
                      for i, r in enumerate(self.reports)])

    def __str__(self) -> str:
        return "\n".join(str(r) for r in self.reports)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        if not str(path).endswith(".html"):
            raise Error("several reports are written as one page", where=str(path), expected="a name that ends in .html")
        _write(path, _pkv.review_html([r._check for r in self.reports]))

    def _repr_html_(self) -> str:
        page = _pkv.review_html([r._check for r in self.reports]).replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" style="width:100%;height:36em;border:0"></iframe>'


def _interactive() -> bool:
    return hasattr(sys, "ps1")


def _columns() -> int:
    try:
        return max(60, min(os.get_terminal_size().columns, 120))
    except OSError:
        return 80
