"""What the installed command `nextchar` calls: what ends a command from outside is an exit status and no traceback.

It imports the commands itself, since Ctrl-C may come while it does.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130  # as a shell has it of SIGINT


def main() -> None:
    try:
        from nextchar.__main__ import program

        program()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except MemoryError:
        sys.exit("not enough memory")
