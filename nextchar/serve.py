"""Serves the models over HTTP, as `python -m app` does: `nextchar serve`. Knows the service only once it is called."""

from __future__ import annotations

import gc

import typer

program = typer.Typer(add_completion=False)


@program.command()
def serve() -> None:
    """Serves the models over HTTP with the settings of the environment, until SIGTERM or Ctrl-C."""
    gc.disable()  # as `python -m app` does while it imports; its main enables it
    # Where models are only trained, as in the image's training stage, there is no `app`.
    from app.__main__ import main

    raise typer.Exit(main())
