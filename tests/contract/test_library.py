"""docs/library.md describes every argument and every name."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any

import pytest

import model
from model import errors
from model.decoding.scoring import Score
from model.language_model import Generation, LanguageModel, Piece
from model.text.boundaries import ENDS, MAX_BEYOND
from tests.contract.pages import LIBRARY, names, table
from tests.models import random_checkpoint


@pytest.mark.parametrize(
    ("name", "function"), [("load", model.load), ("generate", LanguageModel.generate), ("score", LanguageModel.score)]
)
def test_every_argument_is_described_with_its_default(name: str, function: Any) -> None:
    expected = []
    for one in inspect.signature(function).parameters.values():
        default = json.dumps(one.default) if isinstance(one.default, str) else str(one.default)
        if one.name != "self":
            expected.append([one.name, "–" if one.default is inspect.Parameter.empty else default])
    assert [row[:2] for row in table(LIBRARY, f"argument of `{name}`")] == expected


def test_pieces_take_what_generate_takes() -> None:
    generate, pieces = inspect.signature(LanguageModel.generate), inspect.signature(LanguageModel.pieces)
    assert generate.parameters == pieces.parameters


def test_every_place_where_a_text_may_end_is_described_with_its_bound() -> None:
    assert [row[0] for row in table(LIBRARY, "`end`")] == [f'"{end}"' for end in ENDS]
    assert f"at most {MAX_BEYOND:,} characters beyond" in LIBRARY


def test_the_names_of_the_library_exist() -> None:
    loaded = LanguageModel(random_checkpoint(), SimpleNamespace(name="none", device="none"))
    assert all(hasattr(loaded, name) for name in names(LIBRARY, "name"))
    assert names(LIBRARY, "name of a `Generation`") == ["finish_reason", "generated", "prefix", "seed", "text"]
    assert all(hasattr(Generation("a", "b", None), name) for name in names(LIBRARY, "name of a `Generation`"))
    assert names(LIBRARY, "name of a `Piece`") == sorted(Piece.__dataclass_fields__)
    assert all(
        name in Score.__dataclass_fields__ or hasattr(Score, name) for name in names(LIBRARY, "name of a `Score`")
    )
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert names(LIBRARY, "error") == sorted(set(kinds) - {"NextcharError"})
