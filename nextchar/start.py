"""What the installed command `nextchar` calls. It imports the commands itself, since Ctrl-C may come while it does."""

from __future__ import annotations

INTERRUPTED = 130  # as a shell has it of SIGINT


def main() -> None:
    try:
        from nextchar.__main__ import program

        program()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
