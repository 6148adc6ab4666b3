"""Bootstrap sums equal plain resampling, whatever the blocks; weights are drawn once."""

from __future__ import annotations

import numpy as np
import pytest

from segue.evaluation import bootstrap as module
from segue.evaluation.bootstrap import Bootstrap

RESAMPLES = 21
UNIT = np.array([7, 7, 2, 9, 9, 9, 4, 11, 11, 3, 5, 6, 8, 30])  # listeners of one to three targets, not in order


def columns(num: int) -> list[np.ndarray]:
    """Return hits, members, halves, gains, log-ranks, large and negative values, zeros."""
    generator = np.random.default_rng(3)
    ranks = generator.integers(2, 2000, num) / 2
    return [
        (ranks < 300).astype(np.float64),
        ranks < 500,
        generator.choice([0.0, 0.5, 1.0], num),
        1 / np.log2(1 + ranks),
        np.log(ranks),
        generator.normal(size=num) * 1e6,
        np.zeros(num),
        generator.integers(0, 2**23, num).astype(np.float64),  # whole, but no sum of it is exact in float32
    ]


def naive(unit: np.ndarray, parts: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """Return the sums of the targets of units drawn one by one."""
    units = sorted(set(unit.tolist()))
    generator = np.random.default_rng([seed, 0xB007])
    rows = [[float(part.sum()) for part in parts]]
    for _ in range(resamples):
        drawn = [units[i] for i in generator.integers(len(units), size=len(units)).tolist()]
        chosen = [place for one in drawn for place in np.flatnonzero(unit == one).tolist()]
        rows.append([float(sum(part[chosen].tolist())) for part in parts])
    return np.array(rows)


@pytest.mark.parametrize("unit", [UNIT, np.arange(14), np.arange(14)[::-1], np.zeros(14, np.int64)])
def test_sums_equal_those_of_resampled_targets(unit: np.ndarray) -> None:
    parts = columns(14)
    found = Bootstrap(unit.astype(np.int64), RESAMPLES, 5).sums(parts)
    assert found == pytest.approx(naive(unit, parts, RESAMPLES, 5), rel=1e-12)
    assert np.array_equal(found[:, 0], naive(unit, parts, RESAMPLES, 5)[:, 0])  # counts are exact


def test_the_estimates_of_a_ratio_are_percentiles_of_resampled_ratios() -> None:
    over, under = columns(14)[3], columns(14)[1]
    found = Bootstrap(UNIT, 200, 1).estimate({"x": (over * under, under)})[0]["x"]
    sums = naive(UNIT, [over * under, under], 200, 1)
    with np.errstate(invalid="ignore"):
        values = sums[:, 0] / sums[:, 1]
    resampled = values[1:][~np.isnan(values[1:])]
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(resampled, (2.5, 97.5))))


@pytest.mark.parametrize(("block", "tile", "width"), [(1, 1, 1), (2, 3, 5), (4, 100, 2), (1000, 7, 1000)])
@pytest.mark.parametrize("held", [0, 2**30])
def test_no_bit_hangs_on_the_blocks(
    block: int, tile: int, width: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    unit, parts = generator.integers(0, 40, 300), columns(300)
    whole = Bootstrap(unit, RESAMPLES, 0).sums(parts)
    for name, size in {"BLOCK": block, "TILE": tile, "COLUMNS": width, "HELD": held}.items():
        monkeypatch.setattr(module, name, size)
    in_blocks = Bootstrap(unit, RESAMPLES, 0)
    assert np.array_equal(in_blocks.sums(parts), whole)
    assert np.array_equal(in_blocks.sums(parts[::-1]), whole[:, ::-1])  # again, with the weights it kept or drew anew


def test_weights_are_drawn_once_for_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = []
    drawn = Bootstrap._drawn
    monkeypatch.setattr(Bootstrap, "_drawn", lambda self: draws.append(1) or drawn(self))
    monkeypatch.setattr(module, "COLUMNS", 2)
    table = Bootstrap(UNIT, RESAMPLES, 0)
    for _ in range(3):
        table.sums(columns(14))
    assert len(draws) == 1


def test_a_unit_drawn_more_than_255_times_keeps_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneUnit:
        def integers(self, num: int, size: int, dtype: type) -> np.ndarray:
            return np.full(size, 1, dtype)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: OneUnit())
    found = Bootstrap(np.arange(400), 2, 0).sums([np.arange(400.0)])
    assert found[:, 0].tolist() == [400 * 399 / 2, 400, 400]


def test_no_targets_and_no_resamples_give_no_intervals() -> None:
    nothing = np.zeros(0)
    found = Bootstrap(nothing.astype(np.int64), 5, 0).estimate({"x": (nothing, nothing)})[0]["x"]
    assert all(np.isnan([found.value, found.low, found.high]))
    found = Bootstrap(np.arange(4), 0, 0).estimate({"x": (np.ones(4), np.ones(4))})[0]["x"]
    assert found.value == 1
    assert np.isnan(found.low)
