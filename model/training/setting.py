"""What one setting of training may be, and what people are told of it: both stand in the field that holds it.

Knows none of the settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from model.errors import OptionError, show

Group = Literal["time", "model", "training", "validation and samples", "machine", "files"]
T = TypeVar("T")
_KEY = "setting"  # in a field's metadata
_PRACTICALLY_NO_END = 1_000_000  # an upper bound from here on is not worth telling


@dataclass(frozen=True)
class Setting:
    """help: a phrase without a stop. bounds: the lowest and the highest number, both allowed but for `above`.

    Where both bounds are whole numbers, only whole numbers are allowed. off: None is allowed, and means "off".
    """

    help: str
    group: Group
    bounds: tuple[float, float] | None = None
    above: bool = False  # the lowest number itself is not allowed
    off: bool = False
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """As people are told it: `1 to 4`, `rnn, gru or lstm`. Empty for a switch and for texts."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.bounds is None:
            return ""
        low, high = self.bounds
        if self.above:
            return f"above {low:g}"
        return f"{shown(low)} or more" if high >= _PRACTICALLY_NO_END else f"{shown(low)} to {shown(high)}"

    def check(self, name: str, value: object) -> None:
        """Raises OptionError that names the setting, the value and what is allowed."""
        if self.choices and value not in self.choices:
            raise OptionError(name, f"{show(value)} is not one of {', '.join(self.choices)}")
        if self.bounds is None or (value is None and self.off):
            return
        low, high = self.bounds
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise OptionError(name, f"{show(value)} is not a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise OptionError(name, f"{value} is not a number")
        if isinstance(low, int) and isinstance(high, int) and not isinstance(value, int):
            raise OptionError(name, f"{show(value)} is not a whole number")
        if not low <= value <= high:
            raise OptionError(name, f"{show(value)} is not from {low} to {high}")
        if self.above and value == low:
            raise OptionError(name, f"{value:g} would learn nothing; it must be above {low:g}")


def number(
    default: T, low: float, high: float, group: Group, help: str, *, above: bool = False, off: bool = False
) -> T:
    return _told(default, Setting(help, group, bounds=(low, high), above=above, off=off))


def choice(default: str, choices: tuple[str, ...], group: Group, help: str) -> str:
    return _told(default, Setting(help, group, choices=choices))


def anything(default: T, group: Group, help: str) -> T:
    """A switch, or texts."""
    return _told(default, Setting(help, group))


def settings_of(options: type) -> dict[str, Setting]:
    """Of a dataclass whose fields were all made here, by the name of the field."""
    return {field.name: field.metadata[_KEY] for field in fields(options)}


def shown(value: float) -> str:
    """A number as people are told it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _told(default: T, setting: Setting) -> T:
    return field(default=default, metadata={_KEY: setting})
