"""How the service writes its log."""

from __future__ import annotations

import codecs
import logging
import sys

import structlog
from rich.console import Console


def configure(level: str, style: str) -> None:
    """Sends our log and that of the libraries to standard error: for people on a terminal, else one JSON a line.

    Tracebacks are plain in both: with local variables they would show keys and what people wrote. What standard error
    cannot encode is escaped: by JSON where a line is JSON, else as Python does.
    """
    json_lines = style == "json" or (style == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=not _takes_any_character()),
        ]
        if json_lines
        else [structlog.dev.ConsoleRenderer(colors=_takes_colours(), exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # RequestLog writes the access line; the server's own would show the query, and with it the prefix.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _takes_any_character() -> bool:
    return codecs.lookup(sys.stderr.encoding or "utf-8").name.startswith("utf")


def _takes_colours() -> bool:
    """A terminal does, but a simple one and where the user wants none (TERM, NO_COLOR)."""
    console = Console(stderr=True)
    return console.color_system is not None and not console.no_color
