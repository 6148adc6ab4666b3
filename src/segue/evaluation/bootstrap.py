"""Bootstrap intervals: weights drawn once, applied to all metrics as matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.metrics import Ratio

BLOCK: Final = 16
"""Resamples drawn at a time: 170 MB of draws and weights for 450,000 units. No number hangs on it."""
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

    Args:
        unit: unit of each target, int64 [N].
        resamples: how many; 0 gives no intervals.
        seed: of the draws.
    """

    def __init__(self, unit: NDArray[np.int64], resamples: int, seed: int) -> None:
        _, self._unit = np.unique(unit, return_inverse=True)
        self._num_units = int(self._unit.max()) + 1 if len(unit) else 0
        self._resamples, self._seed = resamples, seed

    def estimate(self, ratios: Mapping[str, Ratio]) -> tuple[dict[str, Estimate], dict[str, NDArray[np.float64]]]:
        """Return the estimate of each ratio by name, and its values in the data and each resample."""
        columns = {id(part): part for ratio in ratios.values() for part in ratio}  # groups share denominators
        place = {part: column for column, part in enumerate(columns)}
        sums = self.sums(list(columns.values()))
        over, under = ([place[id(ratio[side])] for ratio in ratios.values()] for side in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = sums[:, over] / sums[:, under]
        drawn = dict(zip(ratios, values.T, strict=True))
        return {name: summarise(column) for name, column in drawn.items()}, drawn

    def sums(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the sums of C columns [N] in the data (row 0) and in each resample, [1 + resamples, C]."""
        result = np.zeros((1 + self._resamples, len(columns)))
        if self._num_units == 0:
            return result
        per_unit = np.empty((self._num_units, len(columns)))
        for place, column in enumerate(columns):
            per_unit[:, place] = np.bincount(self._unit, weights=column, minlength=self._num_units)
        result[0] = per_unit.sum(axis=0)
        generator = np.random.default_rng([self._seed, 0xB007])
        for start in range(0, self._resamples, BLOCK):
            size = min(BLOCK, self._resamples - start)
            drawn = generator.integers(self._num_units, size=(size, self._num_units))
            drawn += np.arange(size)[:, None] * self._num_units
            weights = np.bincount(drawn.ravel(), minlength=size * self._num_units).reshape(size, -1)
            result[1 + start : 1 + start + size] = weights.astype(np.float64) @ per_unit
        return result


def summarise(values: NDArray[np.float64]) -> Estimate:
    """Return the estimate of a statistic from its value in the data (first) and in the resamples (rest)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if len(resampled) == 0:
        return Estimate(float(values[0]), np.nan, np.nan)
    low, high = np.percentile(resampled, LEVEL)
    return Estimate(float(values[0]), float(low), float(high))
