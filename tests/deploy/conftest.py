from __future__ import annotations

from tests.app.conftest import models_dir

__all__ = ["models_dir"]
