"""How numbers and truth values are written in a query or a form, where everything is text.

A whole number has ASCII digits and may have a minus; another number may have a decimal point and an exponent besides.
Pydantic would read what Python's `int` and `float` read: `1_0`, `+5`, a space beside it, `1.0` as 1, `inf`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel

from model.errors import show

_TRUTH = re.compile("true|false|1|0|yes|no|on|off|t|f|y|n", re.ASCII | re.IGNORECASE)
_FORMS: Mapping[object, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        int: (re.compile("-?[0-9]+"), "is not a whole number; write it in the digits 0 – 9, such as 20"),
        float: (
            re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
            "is not a number; write it in the digits 0 – 9, such as 0.8 or 8e-1",
        ),
        bool: (_TRUTH, "is neither true nor false; 1 and 0, yes and no, on and off are allowed too"),
    }
)


def misspelt(model: type[BaseModel], given: Mapping[str, Any]) -> list[dict[str, str]]:
    """The fields whose text is not a number or a truth value where the model wants one, with what is allowed."""
    forms = _forms(model)
    errors = []
    for name, value in given.items():
        form = forms.get(name)
        if form is not None and form[0].fullmatch(value) is None:
            errors.append({"field": name, "message": f"{show(value)} {form[1]}"})
    return errors


@cache
def _forms(model: type[BaseModel]) -> Mapping[str, tuple[re.Pattern[str], str]]:
    found = {}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if kind in _FORMS:
                found[name] = _FORMS[kind]
    return found
