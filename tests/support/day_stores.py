"""A small store with listeners and times, for splits by days."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue import columns
from segue.store import Store
from segue.store.manifest import SideColumn
from support.stores import SIDE, rewritten, tiny_store, values_of

HOURS = 14
"""Between two sessions of a listener."""


def day_store(folder: Path, sessions: int = 80, listeners: int = 8, tracks: int = 40) -> Store:
    """Return a store in `folder` whose listeners have a session every 14 hours, a track every ten minutes."""
    tiny = tiny_store(folder / "tiny", sessions=sessions, tracks=tracks)
    length, number = np.diff(tiny.offsets), np.arange(sessions)
    within = np.arange(tiny.num_rows) - np.repeat(tiny.offsets[:-1], length)
    at = 1_500_000_000 + np.repeat(number // listeners * HOURS * 3600, length) + within * 600
    values = values_of(tiny) | {columns.USER: (number % listeners).astype(np.int32), columns.AT: at.astype(np.int64)}
    return rewritten(folder / "store", tiny, values, (*SIDE, SideColumn(columns.AT, "int64")))
