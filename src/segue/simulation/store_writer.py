"""Writes a simulated log as a store, with NumPy only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from segue import columns
from segue.columns import MSSD_ACOUSTIC, MSSD_DESCRIPTORS
from segue.hashing import session_keys
from segue.simulation.log import SimulatedLog
from segue.store import NUM_SPECIALS, StoreWriter, Vocabulary
from segue.store.manifest import SideColumn, StoreSource
from segue.store.writer import SessionColumns, TrackTable

_EVENT: Final = (
    columns.INFERRED,
    columns.CONTEXT_TYPE,
    columns.SHUFFLE,
    columns.HOUR,
    columns.PREMIUM,
    columns.ORACLE_P_LISTEN,
    columns.ORACLE_P_LISTEN_COMMON,
)


def write_store(log: SimulatedLog, path: Path, *, overwrite: bool = False) -> None:
    """Write the store of a simulated log; its vocabulary is the tracks that were heard.

    Raises:
        InputError: `path` exists and may not be replaced.
    """
    heard = np.unique(log.track)
    ids = log.track_ids[heard]
    order = np.argsort(ids, kind="stable")  # byte order equals UTF-8 order
    row = np.zeros(len(log.track_ids), dtype=np.int32)
    row[heard[order]] = np.arange(len(heard), dtype=np.int32) + NUM_SPECIALS
    width = ids.dtype.itemsize
    data = np.ascontiguousarray(ids[order]).view(np.uint8)
    vocabulary = Vocabulary(data, np.arange(len(heard) + 1, dtype=np.int64) * width)
    side = [
        SideColumn(name, columns.SIDE_DTYPES[name], "event", log.context_names if name == columns.CONTEXT_TYPE else ())
        for name in _EVENT
    ]
    side.append(SideColumn(columns.DATE, "int32", "session"))
    if log.user is not None:
        side.append(SideColumn(columns.USER, "int32", "session"))
    keys = session_keys(
        log.session_ids.view(np.uint8),
        np.arange(len(log.session_ids) + 1, dtype=np.int64) * log.session_ids.dtype.itemsize,
    )
    values = {columns.INFERRED: np.zeros(len(log.track), dtype=np.bool_), **log.event, columns.DATE: log.date}
    if log.user is not None:
        values[columns.USER] = log.user
    source = StoreSource("simulation", path.name, simulated=dict(log.summary))
    with StoreWriter(path, source, side, overwrite=overwrite) as writer:
        writer.add_shard(SessionColumns(row[log.track], log.strength, log.offsets, keys, values))
        tracks = heard[order]
        table = TrackTable(
            title=log.titles(tracks),
            artist=log.artists(tracks),
            duration=log.catalogue.duration[tracks],
            features=log.catalogue.features[tracks],
            feature_names=(*MSSD_DESCRIPTORS, *MSSD_ACOUSTIC),
        )
        writer.finish(vocabulary, table)
