"""How tracks are drawn: coordinates on the map, and the numbers that a sleeve is made of."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.exported.folder import ExportFolder
from segue.serving.messages import TrackLook, TrackMap
from segue.store.vocabulary import NUM_SPECIALS

POINTS: Final = 5000
"""Most points of a map."""
SLEEVE: Final = 12
_DIGITS: Final = 4


def look_of(export: ExportFolder, row: int) -> TrackLook:
    """Return how the track of a table row is drawn."""
    x, y = export.map[row - NUM_SPECIALS].tolist()
    values = np.asarray(export.table[row], np.float64)
    length = float(np.linalg.norm(values))
    sleeve = values / (length if length > 0 else 1.0) @ _directions(len(values))
    return TrackLook(round(x, _DIGITS), round(y, _DIGITS), [round(value, _DIGITS) for value in sleeve.tolist()])


def sampled_map(export: ExportFolder, name: str) -> TrackMap:
    """Return coordinates and plays of at most `POINTS` candidates, always the same ones of an export."""
    rows = np.sort(np.asarray(export.scan_order)[export.scan_order != 0])
    if len(rows) > POINTS:
        rows = np.sort(np.random.default_rng(0).choice(rows, POINTS, replace=False))
    x, y = np.round(export.map[rows - NUM_SPECIALS].astype(np.float64), _DIGITS).T.tolist()
    return TrackMap(name, x, y, export.plays[rows].tolist())


@lru_cache(maxsize=4)
def _directions(width: int) -> NDArray[np.float64]:
    """Return fixed directions in the track space [D, SLEEVE], scaled so that products with them are about 1."""
    return np.random.default_rng(12).normal(size=(width, SLEEVE))
