"""The track space in two dimensions, for people to look at."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SAMPLE: Final = 100_000
"""Tracks that the axes are found from, at most: every so manieth of those that may be ranked."""
_ROWS: Final = 1 << 17


def principal_map(rows: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each track's place on the two principal axes of the tracks `shown`, float32 [V, 2].

    Principal component analysis (Pearson 1901), of rows scaled to length 1, whose angles are what a ranking sees. Each
    axis points where the third moment is positive, so that the same table always gives the same map; 1 is the largest
    deviation of a shown track on either axis. Fewer than three tracks all stand at 0.
    """
    places = np.zeros((len(rows), 2), np.float32)
    chosen = np.flatnonzero(shown)
    sample = _unit(rows[chosen[:: max(len(chosen) // _SAMPLE, 1)]])
    if len(sample) < 3 or rows.shape[1] < 2:
        return places
    mean = sample.mean(0)
    around = sample - mean
    _, axes = np.linalg.eigh(around.T @ around)  # ascending
    axes = axes[:, [-1, -2]]
    axes = axes * np.where(((around @ axes) ** 3).sum(0) < 0, -1.0, 1.0)
    reach = np.abs(around @ axes).max()
    for begin in range(0, len(rows), _ROWS):
        part = slice(begin, begin + _ROWS)
        places[part] = (_unit(rows[part]) - mean) @ axes / (reach if reach > 0 else 1.0)
    return places


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.where(length > 0, length, 1.0)
    return unit
