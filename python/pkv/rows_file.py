"""A file of rows, one line of JSON each, to which an interrupted run is continued."""

from __future__ import annotations

import json
import os
from typing import Any, Iterator, Union

Path = Union[str, os.PathLike[str]]


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that were written whole; none where there is no file."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the line that was being written when it was interrupted
                continue


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Writes it at the end, on a line of its own even behind a line that was not finished."""
    with open(path, "ab+") as file:
        unfinished = file.tell() > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
        file.write((("\n" if unfinished else "") + line).encode())
