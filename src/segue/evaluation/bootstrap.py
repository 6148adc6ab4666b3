"""Bootstrap intervals: weights drawn once, applied to all metrics of a table as blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.metrics import Column, Ratio

BLOCK: Final = 32
"""Resamples drawn and multiplied at a time: 60 MB of draws for 450,000 units. No number hangs on it."""
COLUMNS: Final = 64
"""Columns summed at a time: 230 MB for 450,000 units. No number hangs on it."""
HELD: Final = 2**30
"""Bytes of weights that are kept (one a unit and resample: 450 MB for 450,000 and 1000); more are drawn anew."""
FLOAT32_EXACT: Final = 2.0**24
"""Integers up to here are exact in float32, and so are sums of them in any order."""
FLOAT64_EXACT: Final = 51
"""Bits that a sum of fixed-point numbers may take in float64 and stay exact in any order."""
LEVEL: Final = (2.5, 97.5)
"""Percentiles of the 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % percentile interval; NaN where no target defines it."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float | None]:
        """Return [value, low, high], null for NaN."""
        return [None if np.isnan(part) else float(part) for part in (self.value, self.low, self.high)]


class Bootstrap:
    """Resamples of units (sessions, or listeners where the store has them), the same for every metric.

    Each resample draws as many units as there are, with replacement; a unit's weight is how often it was drawn.
    Sums are exact, so they depend on no block: values are rounded to multiples of a power of two, so fine that no sum
    of them is rounded again (about 2**-32 of the largest unit for 450,000 units). What is a small integer, as hits and
    members of groups are, is summed in float32 and not rounded at all.

    Args:
        unit: unit of each target, int64 [N].
        resamples: how many; 0 gives no intervals.
        seed: of the draws.
    """

    def __init__(self, unit: NDArray[np.int64], resamples: int, seed: int) -> None:
        _, self._unit = np.unique(unit, return_inverse=True)
        self._num_units = int(self._unit.max()) + 1 if len(unit) else 0
        self._resamples, self._seed = resamples, seed
        self._held: list[NDArray[np.uint8 | np.uint16]] = []

    def estimate(self, ratios: Mapping[str, Ratio]) -> tuple[dict[str, Estimate], dict[str, NDArray[np.float64]]]:
        """Return the estimate of each ratio by name, and its values in the data and each resample."""
        columns = {_key(part): part for ratio in ratios.values() for part in ratio}  # groups share denominators
        place = {part: column for column, part in enumerate(columns)}
        sums = self.sums(list(columns.values()))
        over, under = ([place[_key(ratio[side])] for ratio in ratios.values()] for side in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = sums[:, over] / sums[:, under]
        drawn = dict(zip(ratios, values.T, strict=True))
        return {name: summarise(column) for name, column in drawn.items()}, drawn

    def sums(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Return the sums of C columns [N] in the data (row 0) and in each resample, [1 + resamples, C]."""
        result = np.zeros((1 + self._resamples, len(columns)))
        for place, column in enumerate(columns):
            result[0, place] = column.sum()
        if self._num_units == 0 or self._resamples == 0:
            return result
        for first in range(0, len(columns), COLUMNS):
            per_unit = [self._per_unit(column) for column in columns[first : first + COLUMNS]]
            result[1:, first : first + COLUMNS] = self._weighted(per_unit)
        return result

    def _per_unit(self, column: Column) -> NDArray[np.float64]:
        return np.asarray(np.bincount(self._unit, weights=column, minlength=self._num_units), np.float64)

    def _weighted(self, per_unit: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the weighted sums of columns over units in each resample, [resamples, C]."""
        result = np.empty((self._resamples, len(per_unit)))
        largest = [self._num_units * float(np.abs(column).max()) for column in per_unit]
        small = [most <= FLOAT32_EXACT and _is_whole(column) for column, most in zip(per_unit, largest, strict=True)]
        whole, broken = ([i for i, each in enumerate(small) if each is kind] for kind in (True, False))
        scale = np.array([2.0 ** (FLOAT64_EXACT - np.frexp(largest[i])[1]) for i in broken])
        counted = np.stack([per_unit[i].astype(np.float32) for i in whole], axis=1) if whole else None
        fixed = np.rint(np.stack([per_unit[i] for i in broken], axis=1) * scale) if broken else None
        begin = 0
        for weights in self._weights():
            rows = slice(begin, begin + len(weights))
            if counted is not None:
                result[rows, whole] = weights.astype(np.float32) @ counted
            if fixed is not None:
                result[rows, broken] = (weights.astype(np.float64) @ fixed) / scale
            begin += len(weights)
        return result

    def _weights(self) -> Iterator[NDArray[np.uint8 | np.uint16]]:
        """Yield how often each unit stands in each resample, [at most BLOCK, units], the same at every call."""
        if self._held:
            yield from self._held
            return
        keep = self._resamples * self._num_units <= HELD
        drawn = []
        for block in self._drawn():
            if keep:
                drawn.append(block)
            yield block
        self._held = drawn

    def _drawn(self) -> Iterator[NDArray[np.uint8 | np.uint16]]:
        generator, num = np.random.default_rng([self._seed, 0xB007]), self._num_units
        for start in range(0, self._resamples, BLOCK):
            size = min(BLOCK, self._resamples - start)
            # int32 and int64 draw the same numbers; a stream is cut into blocks anywhere
            drawn = generator.integers(num, size=(size, num), dtype=np.int32)
            counts = np.stack([np.bincount(units, minlength=num) for units in drawn])
            yield counts.astype(np.uint8 if counts.max() < 2**8 else np.uint16)


def summarise(values: NDArray[np.float64]) -> Estimate:
    """Return the estimate of a statistic from its value in the data (first) and in the resamples (rest)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if len(resampled) == 0:
        return Estimate(float(values[0]), np.nan, np.nan)
    low, high = np.percentile(resampled, LEVEL)
    return Estimate(float(values[0]), float(low), float(high))


def _key(column: Column) -> int | bytes:
    """Return what tells columns apart: members of a group by content, so that equal ones are summed once."""
    return column.tobytes() if column.dtype == np.bool_ else id(column)


def _is_whole(column: NDArray[np.float64]) -> bool:
    return bool((column == np.rint(column)).all())
