"""Can a language model's past key values be reused?

    import pkv
    pkv.check(model, tokenizer, "I like to eat")       # a transformers model that you hold
    pkv.Model("tiny-gpt2").check("I like to eat")      # one that pkv runs itself

Importing it needs neither torch, transformers, pandas, NumPy nor a network; what needs them imports them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _pkv
from .errors import Error

_pkv.set_error_class(Error)


class _Version(str):
    """A version number that also knows the commit of the sources and the instruction set in use."""

    commit: str
    isa: str

    def __repr__(self) -> str:
        return f"<pkv {self}, commit {self.commit or 'unknown'}, {self.isa}>"


def _version() -> _Version:
    version = _Version(f"{_pkv.version()}+{_pkv.commit()[:12].replace('-', '.')}" if _pkv.commit() else _pkv.version())
    version.commit = _pkv.commit()
    version.isa = _pkv.instruction_set()
    return version


__version__ = _version()

# Where each name is, so that nothing is imported before it is used.
_HOME = {
    "check": "checking", "assert_reusable": "checking", "Report": "report", "Reports": "report",
    "Feedable": "feed", "Feeder": "feed", "LlamaCpp": "adapters", "OnnxGenAI": "adapters",
    "Model": "engine", "Past": "engine", "bundled": "engine",
    "bench": "benching", "BenchReport": "benching",
    "shared_prefix": "chats", "review": "reviewing", "record": "recording", "survey": "surveying",
}

__all__ = ["Error", "__version__", *_HOME]

if TYPE_CHECKING:
    from .adapters import LlamaCpp, OnnxGenAI
    from .benching import BenchReport, bench
    from .chats import shared_prefix
    from .checking import assert_reusable, check
    from .engine import Model, Past, bundled
    from .feed import Feedable, Feeder
    from .recording import record
    from .report import Report, Reports
    from .reviewing import review
    from .surveying import survey


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'pkv' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
