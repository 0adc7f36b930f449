"""Errors that people get: each message names the thing, its value and what is allowed.

The classes say what kind of thing is wrong, so that a caller (HTTP, shell) can choose its answer without reading
the message. `assert` stays for our own bugs.
"""

from __future__ import annotations

SHOWN_CHARS = 60  # of a value in a message


def show(value: object) -> str:
    """A value as a message can show it: short, printable, on one line."""
    if isinstance(value, str):
        text = "'" + "".join(c if c.isprintable() else describe(c) for c in value[: SHOWN_CHARS + 1]) + "'"
    elif isinstance(value, int) and value.bit_length() > 256:
        return "a number of over 77 digits"
    elif isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    else:
        text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


class NextcharError(Exception):
    """Anything a person can put right."""


class OptionError(NextcharError):
    """An option outside its bounds. `field` is its name, which `message` is without."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class CorpusError(NextcharError):
    """A text that cannot be read or is too short."""


class CheckpointError(NextcharError):
    """A checkpoint that cannot be written, or does not verify."""


class DeviceError(NextcharError):
    """A device or an engine that was asked for and cannot be used."""


class TrainingError(NextcharError):
    """Training that cannot go on."""


class UnknownCharactersError(NextcharError):
    """Text with characters that the vocabulary does not hold.

    `positions` maps each unknown character, in order of first appearance, to its positions in the text as the model
    saw it (after normalisation), counted from 0.
    """

    def __init__(self, positions: dict[str, list[int]]) -> None:
        self.positions = positions
        shown = list(positions.items())[:10]
        named = ", ".join(f"{describe(c)} at {_places(p)}" for c, p in shown)
        more = len(positions) - len(shown)
        super().__init__(
            f"the model has never seen {'this character' if len(positions) == 1 else 'these characters'}: {named}"
            + (f" and {more} more" if more else "")
        )


def describe(character: str) -> str:
    """A character as a message can show it: `'é' (U+00E9)`; by its code point alone where it does not print."""
    code = f"U+{ord(character):04X}"
    return f"'{character}' ({code})" if character.isprintable() else code


def _places(positions: list[int]) -> str:
    shown = ", ".join(str(p) for p in positions[:5])
    return f"{'position' if len(positions) == 1 else 'positions'} {shown}" + (" …" if len(positions) > 5 else "")


def brief(message: object, most: int = 300) -> str:
    """What others wrote as a message can quote it: one printable line of at most so many characters."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(message)[: most + 1])
    return text if len(text) <= most else text[:most] + "…"
