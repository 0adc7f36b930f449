"""Options of a command made from TrainingOptions: each field is one, with its help, its bounds and its default.

Knows nothing of what a command does with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer
from typer.models import OptionInfo

from model.training import PRESETS, TrainingOptions
from model.training.options import MAX_EPOCHS, SETTINGS
from model.training.setting import shown

Command = TypeVar("Command", bound=Callable[..., Any])

SPELLED = {"time_budget_s": "time-budget", "save_every_s": "save-every", "prefixes": "prefix"}
# What people need first, in this order, in the panel that has no name of its own.
FIRST = ("folder", "out", "corpus", "preset", "time_budget_s", "prefixes", "resume")
BY_THE_TEXT = "by the text"
PANELS = ("Text", "Time", "Model", "Training", "Validation and samples", "Machine", "Files")
PRESET = "best"  # where none is named; its values are what the help shows


def with_training_options(command: Command) -> Command:
    """The command with an option for each field in place of its `**given`, which gets them: None where not given.

    Options stand in the order of FIRST, then by panel, then as they come.
    """
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    parameters = sorted([*own, *_parameters()], key=_place)
    keyword_only = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    return command


def _parameters() -> list[inspect.Parameter]:
    defaults = {**vars(TrainingOptions()), **_of_the_preset()}
    found = []
    for name, held in get_type_hints(TrainingOptions).items():
        annotation = (list[str] if held == tuple[str, ...] else held) | None
        option = _option(name, defaults[name])
        found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation))
    return found


def _of_the_preset() -> dict[str, Any]:
    """Its settings; what it makes of the text is in words."""
    small, large = (PRESETS[PRESET](num_chars, 1, None) for num_chars in (1_000, 10**9))
    return {name: large[name] if small.get(name) == large[name] else BY_THE_TEXT for name in large}


def _option(name: str, default: Any) -> Any:
    setting, spelled = SETTINGS[name], f"--{SPELLED.get(name, name.replace('_', '-'))}"
    if isinstance(default, bool):
        spelled = f"{spelled}/--no-{spelled[2:]}"
    return typer.Option(
        None,
        spelled,
        help=f"{setting.help} ({setting.allowed})." if setting.allowed else f"{setting.help}.",
        rich_help_panel=None if name in FIRST else setting.group.capitalize(),
        show_default=_words(default) or False,
        metavar="<str>" if default == () else None,  # in place of <list[str]>
    )


def _words(default: Any) -> str:
    """A default as the help shows it: nothing where it is off, or has no end."""
    if default == MAX_EPOCHS:
        return ""
    if isinstance(default, bool):
        return "on" if default else ""
    return shown(default) if isinstance(default, int | float) else default or ""


def _place(parameter: inspect.Parameter) -> int:
    if parameter.name in FIRST:
        return FIRST.index(parameter.name)
    generated = isinstance(parameter.default, OptionInfo)
    option = parameter.default if generated else parameter.annotation.__metadata__[0]
    return len(FIRST) + PANELS.index(option.rich_help_panel)
