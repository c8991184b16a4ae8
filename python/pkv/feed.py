"""What can be checked: anything that answers the next tokens of a text with logits.

A system is an object with ``describe()``, which returns a dict of which only "name" is required, and ``fresh()``, which
returns a session: one text being fed, with its past. A session has ``feed(ids)``, which returns the logits of the new
tokens, [len(ids), vocab] (anything with DLPack or the buffer protocol), and, where the system can do it,
``fork()``, another session with the same past; ``rewind(n)``, forget all but the first n tokens; ``length()``, how many
tokens the past holds. What is missing is a result ("the system cannot rewind"), not an error.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Protocol, Sequence, runtime_checkable


@runtime_checkable
class Feeder(Protocol):
    """A system that can be fed."""

    def describe(self) -> dict[str, Any]: ...

    def fresh(self) -> Any: ...


class _Session:
    def __init__(self, of: "Feedable", past: Any) -> None:
        self._of, self._past, self._fed = of, past, 0
        if of._fork is not None:
            self.fork = self._fork_it
        if of._rewind is not None:
            self.rewind = self._rewind_to
        if of._length is not None:
            self.length = lambda: of._length(self._past)  # type: ignore[misc]

    def feed(self, ids: Sequence[int]) -> Any:
        logits, self._past = self._of._feed(self._past, list(ids))
        self._fed += len(ids)
        return logits

    def _fork_it(self) -> "_Session":
        assert self._of._fork is not None
        other = _Session(self._of, self._of._fork(self._past))
        other._fed = self._fed
        return other

    def _rewind_to(self, length: int) -> None:
        assert self._of._rewind is not None
        self._past, self._fed = self._of._rewind(self._past, length), length


class Feedable:
    """A system made of functions.

    ``feed(past, ids)`` returns (logits [len(ids), vocab], past); ``past`` is None for a new text. ``fork(past)`` returns
    a second past, ``rewind(past, n)`` one of the first n tokens, ``length(past)`` how many it holds.
    """

    def __init__(self, feed: Callable[[Any, list[int]], tuple[Any, Any]], name: str = "a function", *,
                 fork: Optional[Callable[[Any], Any]] = None, rewind: Optional[Callable[[Any, int], Any]] = None,
                 length: Optional[Callable[[Any], Optional[int]]] = None, new: Optional[Callable[[], Any]] = None,
                 **description: Any) -> None:
        self._feed, self._fork, self._rewind, self._length, self._new = feed, fork, rewind, length, new
        self._description = {"name": name, **description}

    def describe(self) -> dict[str, Any]:
        return self._description

    def fresh(self) -> _Session:
        return _Session(self, self._new() if self._new else None)
