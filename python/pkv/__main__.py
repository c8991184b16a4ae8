"""python -m pkv record|survey|...: what needs Python; everything else goes to the program."""

from __future__ import annotations

import sys


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "record":
        from .recording import main as record

        record(sys.argv[2:])
        return 0
    if verb == "survey":
        from .surveying import main as survey

        return survey(sys.argv[2:])
    from ._program import main as program

    program()
    return 0


if __name__ == "__main__":
    from .errors import Error

    try:
        sys.exit(main())
    except Error as error:
        sys.exit(f"pkv: {error}")
