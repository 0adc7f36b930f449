"""What the installed command `nextchar` calls: Ctrl-C is the same exit status while it imports as it is later."""

from __future__ import annotations

INTERRUPTED = 130  # as a shell has it of SIGINT


def main() -> None:
    try:
        from nextchar.__main__ import program

        program()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
