"""Bootstrap over sessions, or over users where the store knows them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 2**24
"""Weights held at once."""
INTERVAL: Final = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


def resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return the ratio sum / count of each of M columns in each resample of U units, [resamples, M].

    Units are drawn with replacement once for all columns, so that differences of columns are paired; NaN where a
    resample holds nothing to count.
    """
    generator = np.random.default_rng([seed, 0xB007])
    units, means = len(sums), np.empty((resamples, sums.shape[1]))
    size = max(1, BLOCK // max(units, 1))
    for first in range(0, resamples, size):
        number = min(size, resamples - first)
        drawn = generator.integers(0, units, (number, units)) + np.arange(number)[:, None] * units
        weights = np.bincount(drawn.ravel(), minlength=number * units).reshape(number, units).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[first : first + number] = (weights @ sums) / (weights @ counts)
    return means


def interval(values: NDArray[np.float64]) -> list[float | None]:
    """Return the 95 % percentile interval of resampled values, [None, None] where there is none."""
    finite = values[np.isfinite(values)]
    return [None, None] if len(finite) == 0 else [float(part) for part in np.percentile(finite, INTERVAL)]


def by_unit(values: NDArray[np.float64], unit: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of the rows of `values` [N, M] by unit, [U, M]."""
    sums = np.zeros((int(unit.max()) + 1 if len(unit) else 0, values.shape[1]))
    np.add.at(sums, unit, values)
    return sums
