"""Whether the tests ran enough of the lines: `python -m tests.floor`, which `make test` calls behind them.

The floor, `fail_under` in pyproject.toml, is what a whole run reaches. Where MXNet does not exist or a program is
missing, tests are skipped that reach some lines alone: there the share is told and nothing is held against it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

import coverage

from tests.programs import PROGRAMS, find
from tests.reference import MXNET_EXISTS


def absent() -> list[str]:
    """What tests are skipped for want of."""
    return [*([] if MXNET_EXISTS else ["MXNet"]), *(name for name in PROGRAMS if find(name) is None)]


def verdict(share: float, floor: float, missing: Collection[str]) -> tuple[str, bool]:
    """A line that says it, and whether that will do. Both are of a hundred."""
    said = f"Tests run {share:.1f} % of the lines of app, model and nextchar"
    if missing:
        return f"{said}; the floor of {floor:g} % is not held here, without {', '.join(missing)}.", True
    if share < floor:
        return f"{said}, fewer than {floor:g} %: `.venv/bin/coverage report` names the lines.", False
    return f"{said} (at least {floor:g} %).", True


def main() -> int:
    measured = coverage.Coverage()
    measured.load()
    with open(os.devnull, "w") as nowhere:
        share = measured.report(file=nowhere)
    floor = measured.get_option("report:fail_under")
    assert isinstance(floor, float)
    line, will_do = verdict(share, floor, absent())
    print(line)
    return 0 if will_do else 1


if __name__ == "__main__":
    sys.exit(main())
