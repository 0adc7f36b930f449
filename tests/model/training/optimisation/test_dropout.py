from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.arrays import UInt64s
from model.config import GATES
from model.training import TrainingOptions
from model.training.optimisation import dropout
from model.training.optimisation.dropout import NO_MASKS, Masks

N, T, H = 24, 32, 48


def masks(seed: int = 0, **options: Any) -> Masks:
    cell = str(options.pop("cell", "lstm"))
    layers = int(options.pop("num_layers", 1))
    given = TrainingOptions(cell=cell, num_layers=layers, hidden_dim=H, **options)
    return dropout.draw(np.random.default_rng(seed), given, N, T)


def test_nothing_is_hidden_and_nothing_drawn_unless_it_was_asked() -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    found = dropout.draw(rng, TrainingOptions(hidden_dim=H, num_layers=3), N, T)
    assert (found.layers, found.output, found.recurrent) == ((None, None), None, ())
    assert rng.bit_generator.state == before
    assert (NO_MASKS.layers, NO_MASKS.output, NO_MASKS.recurrent) == ((), None, ())


@pytest.mark.parametrize("cell", GATES)
def test_masks_have_the_shapes_of_what_they_hide(cell: str) -> None:
    given: dict[str, Any] = {"dropout_layers": 0.2, "dropout_output": 0.3, "dropout_recurrent": 0.4}
    found = masks(cell=cell, num_layers=3, **given)
    assert found.output is not None
    assert found.output.shape == (T, N, H)
    assert [m.shape for m in found.layers if m is not None] == [(T, N, H)] * 2
    assert [m.shape for m in found.recurrent] == [(H, len(GATES[cell]) * H)] * 3
    assert masks(dropout_layers=0.2).layers == ()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_share_is_hidden_and_the_rest_scaled_up(share: float) -> None:
    mask = masks(dropout_output=share).output
    assert mask is not None
    assert mask.dtype == np.float32
    kept = round((1 - share) * 256) / 256
    values = np.unique(mask)
    np.testing.assert_allclose(values, [0, 1 / kept], rtol=1e-6)
    # Binomial: five standard deviations around what is expected.
    assert abs((mask > 0).mean() - kept) < 5 * np.sqrt(kept * (1 - kept) / mask.size)
    assert abs(mask.mean() - 1) < 5 * np.sqrt((1 / kept - 1) / mask.size)


class Counting:
    """A generator whose bytes are 0, 1, … 255 and again, so that each comes as often as any other."""

    bit_generator = property(lambda self: self)

    def random_raw(self, count: int) -> UInt64s:
        return np.resize(np.arange(256, dtype=np.uint8), 8 * count).view(np.uint64)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_of_all_bytes_exactly_the_share_is_hidden_and_the_mean_stays_one(share: float) -> None:
    options = TrainingOptions(hidden_dim=256, dropout_output=share)
    mask = dropout.draw(Counting(), options, 3, 2).output  # type: ignore[arg-type]
    assert mask is not None
    assert (mask > 0).mean() == round((1 - share) * 256) / 256
    assert mask.mean(dtype=np.float64) == pytest.approx(1, rel=1e-6)


def test_masks_depend_on_the_generator_alone_and_not_on_each_other() -> None:
    a, b, c = masks(1, dropout_output=0.5), masks(1, dropout_output=0.5), masks(2, dropout_output=0.5)
    assert a.output is not None
    assert b.output is not None
    assert c.output is not None
    np.testing.assert_array_equal(a.output, b.output)
    assert (a.output != c.output).mean() > 0.4
    both = masks(1, num_layers=2, dropout_layers=0.5, dropout_output=0.5)
    assert both.layers[0] is not None
    assert both.output is not None
    assert (both.layers[0] != both.output).mean() > 0.4
    recurrent = masks(1, num_layers=2, dropout_recurrent=0.5).recurrent
    assert (recurrent[0] != recurrent[1]).mean() > 0.4
