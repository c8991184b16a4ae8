"""pkv.Error: the one exception of the package."""

from __future__ import annotations


class Error(Exception):
    """Says what went wrong, where, what was expected and found, and what to try.

    ``kind`` is "usage" (the request makes no sense), "load" (a file, model or answer cannot be used) or "internal".
    """

    def __init__(self, what: str, where: str = "", expected: str = "", found: str = "", hint: str = "",
                 kind: str = "usage") -> None:
        super().__init__(what, where, expected, found, hint, kind)  # all of it, so that it survives pickling
        self.what, self.where, self.expected, self.found, self.hint, self.kind = what, where, expected, found, hint, kind

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        for label, text in (("expected: ", self.expected), ("found:    ", self.found), ("try:      ", self.hint)):
            if text:
                lines.append(f"  {label}{text}")
        return "\n".join(lines)
