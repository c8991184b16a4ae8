"""Runs of a transformers model written to files, for ``pkv check --recorded``: the recorder of the program's tools."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from typing import Any, Optional, Sequence, Union

from .errors import Error

TOOLS = pathlib.Path(__file__).absolute().parent / "share" / "pkv" / "tools"


def tool(name: str) -> Any:
    """A module of the recorder, which is one with the program's."""
    if str(TOOLS) not in sys.path:
        sys.path.append(str(TOOLS))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Error("a package is missing", where=name, found=str(error), hint="pip install torch transformers safetensors",
                    kind="load") from error


def record(model: Any, tokenizer: Any, text: Union[str, Sequence[int]], folder: Union[str, os.PathLike[str]] = ".", *,
           splits: str = "last", probes: bool = True, hidden: bool = False) -> tuple[str, str]:
    """Feeds a text whole and in pieces and writes both runs; ``pkv check --recorded`` compares them.

    Returns the two files. ``splits`` is "last", "all-single" or lengths such as "3,5".
    """
    from .checking import ids_of

    ids, told = ids_of(tokenizer, text)
    recorder = tool("record_transformers")
    os.makedirs(folder, exist_ok=True)
    try:
        recorder.record_model(model, ids, recorder.cut(len(ids), splits), str(folder), probes, hidden, {"text": told})
    except tool("record_probes").NoPast as error:
        raise Error("this model takes no past", found=str(error)) from error
    return os.path.join(folder, "without.safetensors"), os.path.join(folder, "with.safetensors")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    recorder = tool("record_transformers")
    sys.argv = ["pkv record", *(arguments if arguments is not None else sys.argv[2:])]
    recorder.main()
