"""Bootstrap intervals: weights are drawn once and applied to all metrics of a table by blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.metrics import Column, Ratio

BLOCK: Final = 128
"""Resamples drawn and multiplied at a time: 120 MB for 450,000 units. Changing this does not change any result."""
TILE: Final = 2**14
"""Units multiplied at a time, to fit in the cache. Changing this does not change any result."""
COLUMNS: Final = 64
"""Columns summed at a time: 230 MB for 450,000 units. Changing this does not change any result."""
MOST_CACHED: Final = 2**30
"""Most bytes of weights in memory (450 MB for 450,000 units and 1000 resamples); more are drawn again on each use."""
FLOAT32_EXACT: Final = 2.0**24
"""Integers up to this, and sums of them up to this, are exact in float32."""
FLOAT64_EXACT: Final = 51
"""Bits of a sum of fixed-point numbers that is exact in float64 for any order."""
LEVEL: Final = (2.5, 97.5)
"""Percentiles of the 95 % interval."""
Weights = NDArray[np.uint8] | NDArray[np.uint16]
"""How often each of U units was drawn in each of r resamples, [r, U]; uint16 if a count exceeds a byte."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % percentile interval; NaN if no target defines it."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float | None]:
        """Return [value, low, high], null for NaN."""
        return [None if np.isnan(part) else float(part) for part in (self.value, self.low, self.high)]


class Bootstrap:
    """Resamples of units (sessions, or listeners if the store has them), the same for every metric.

    Each resample draws as many units as there are, with replacement; a unit's weight is how often it was drawn.
    Sums are exact and so do not depend on block sizes: values are rounded to multiples of a power of two (about 2**-32
    of the largest unit for 450,000 units) whose sums need no further rounding. Small integers, such as hits and
    members of groups, are summed in float32 without rounding.

    Args:
        unit: unit of each target, int64 [N].
        resamples: number of resamples; 0 gives no intervals.
        seed: of the draws.
    """

    def __init__(self, unit: NDArray[np.int64], resamples: int, seed: int) -> None:
        _, self._unit = np.unique(unit, return_inverse=True)
        self._num_units = int(self._unit.max()) + 1 if len(unit) else 0
        self._alone = np.array_equal(self._unit, np.arange(len(unit)))
        self._resamples, self._seed = resamples, seed
        self._cached: list[Weights] = []

    def estimate(
        self, ratios: Mapping[str, Ratio], weighted: Mapping[str, Mapping[str, float]] | None = None
    ) -> dict[str, Estimate]:
        """Return the estimate of each ratio by name, then of each weighted sum of ratios.

        `weighted`: the weights of each sum by the names of its ratios.
        """
        columns = {_key(part): part for ratio in ratios.values() for part in ratio}  # groups share denominators
        column_of = {part: column for column, part in enumerate(columns)}
        sums = self.sums(list(columns.values()))
        over, under = ([column_of[_key(ratio[side])] for ratio in ratios.values()] for side in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = sums[:, over] / sums[:, under]
        values_of = dict(zip(ratios, values.T, strict=True))
        for name, weights in (weighted or {}).items():
            values_of[name] = np.sum([weight * values_of[part] for part, weight in weights.items()], axis=0)
        return {name: _summary(column) for name, column in values_of.items()}

    def sums(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Return the sums of C columns [N] in the data (row 0) and in each resample, [1 + resamples, C]."""
        result = np.zeros((1 + self._resamples, len(columns)))
        for number, column in enumerate(columns):
            result[0, number] = column.sum()
        if self._num_units == 0 or self._resamples == 0:
            return result
        for first in range(0, len(columns), COLUMNS):
            per_unit = [self._per_unit(column) for column in columns[first : first + COLUMNS]]
            result[1:, first : first + COLUMNS] = self._weighted(per_unit)
        return result

    def _per_unit(self, column: Column) -> NDArray[np.float64]:
        if self._alone:  # one target per unit, in order
            return column.astype(np.float64)
        return np.asarray(np.bincount(self._unit, weights=column, minlength=self._num_units), np.float64)

    def _weighted(self, per_unit: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the weighted sums of columns over units in each resample, [resamples, C]."""
        largest = [self._num_units * float(np.abs(column).max()) for column in per_unit]
        small = [most <= FLOAT32_EXACT and _is_whole(column) for column, most in zip(per_unit, largest, strict=True)]
        whole, fractional = ([i for i, each in enumerate(small) if each is kind] for kind in (True, False))
        scale = np.array([2.0 ** (FLOAT64_EXACT - np.frexp(largest[i])[1]) for i in fractional])
        result, begin = np.empty((self._resamples, len(per_unit))), 0
        counted = np.array([per_unit[i] for i in whole], np.float32)
        fixed = np.array([np.rint(per_unit[i] * factor) for i, factor in zip(fractional, scale, strict=True)])
        for weights in self._weights():
            rows = slice(begin, begin + len(weights))
            if whole:
                result[rows, whole] = _product(weights, counted)
            if fractional:
                result[rows, fractional] = _product(weights, fixed) / scale
            begin += len(weights)
        return result

    def _weights(self) -> Iterator[Weights]:
        """Yield how often each unit occurs in each resample, [at most BLOCK, units], the same at every call."""
        if self._resamples * self._num_units > MOST_CACHED:
            yield from self._drawn()
            return
        if not self._cached:
            self._cached = list(self._drawn())
        yield from self._cached

    def _drawn(self) -> Iterator[Weights]:
        generator, num = np.random.default_rng([self._seed, 0xB007]), self._num_units
        for start in range(0, self._resamples, BLOCK):
            weights = np.empty((min(BLOCK, self._resamples - start), num), np.uint16)
            for row in weights:  # int32 and int64 draw the same numbers
                row[:] = np.bincount(generator.integers(num, size=num, dtype=np.int32), minlength=num)
            yield weights.astype(np.uint8) if weights.max() < 2**8 else weights


def _summary(values: NDArray[np.float64]) -> Estimate:
    """Return the estimate of a statistic from its value in the data (first) and in the resamples (others)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if len(resampled) == 0:
        return Estimate(float(values[0]), np.nan, np.nan)
    low, high = np.percentile(resampled, LEVEL)
    return Estimate(float(values[0]), float(low), float(high))


def _key(column: Column) -> int | bytes:
    """Return a key of a column; members of a group by content, so that equal ones are summed once."""
    return column.tobytes() if column.dtype == np.bool_ else id(column)


def _product(weights: Weights, columns: NDArray[Any]) -> NDArray[np.float64]:
    """Return weights [r, U] times columns [C, U], in the dtype of columns, in which each sum is exact."""
    result = np.zeros((len(weights), len(columns)))
    for begin in range(0, weights.shape[1], TILE):
        tile = slice(begin, begin + TILE)
        result += np.asarray(weights[:, tile], columns.dtype) @ columns[:, tile].T
    return result


def _is_whole(column: NDArray[np.float64]) -> bool:
    return bool((column == np.rint(column)).all())
