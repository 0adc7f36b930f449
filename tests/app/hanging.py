"""The service with an engine that hangs from when a file is there: `python -m tests.app.hanging FILE`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from app.__main__ import main
from model.engines.onnxruntime import OnnxRuntimeEngine


def hanging_from(file: Path) -> None:
    engine: Any = OnnxRuntimeEngine
    real = engine.advance

    def hangs_in_the_driver(*arguments: Any) -> Any:
        if file.exists():
            threading.Event().wait()
        return real(*arguments)

    engine.advance = hangs_in_the_driver


if __name__ == "__main__":
    hanging_from(Path(sys.argv[1]))
    sys.exit(main())
