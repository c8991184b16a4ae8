"""The program pkv, which the package brings along."""

from __future__ import annotations

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).absolute().parent


def main() -> None:
    program = HERE / "bin" / "pkv"
    os.execv(program, [str(program), *sys.argv[1:]])
