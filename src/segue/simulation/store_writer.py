"""Writes a simulated log as a store, with NumPy only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from segue import columns
from segue.columns import MSSD_ACOUSTIC, MSSD_DESCRIPTORS
from segue.hashing import session_keys
from segue.simulation.log import SimulatedLog
from segue.store import NUM_SPECIALS, StoreWriter, Vocabulary
from segue.store.manifest import SideColumn, StoreSource
from segue.store.writer import SessionColumns, TrackTable


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
    events = {columns.INFERRED: np.zeros(len(log.track), dtype=np.bool_), **log.event}
    sessions = {columns.DATE: log.date} | ({} if log.user is None else {columns.USER: log.user})
    side = [SideColumn(name, dtype, "event") for name, dtype in columns.SIDE_DTYPES.items() if name in events]
    side += [SideColumn(name, dtype, "session") for name, dtype in columns.SIDE_DTYPES.items() if name in sessions]
    names = {columns.CONTEXT_TYPE: log.context_names}
    side = [replace(column, categories=names.get(column.name, ())) for column in side]
    key_ends = np.arange(len(log.session_ids) + 1, dtype=np.int64) * log.session_ids.dtype.itemsize
    keys = session_keys(log.session_ids.view(np.uint8), key_ends)
    source = StoreSource("simulation", path.name, simulated=dict(log.summary))
    with StoreWriter(path, source, side, overwrite=overwrite) as writer:
        writer.add_shard(SessionColumns(row[log.track], log.strength, log.offsets, keys, {**events, **sessions}))
        tracks = heard[order]
        table = TrackTable(
            title=log.titles(tracks),
            artist=log.artists(tracks),
            duration=log.catalogue.duration[tracks],
            features=log.catalogue.features[tracks],
            feature_names=(*MSSD_DESCRIPTORS, *MSSD_ACOUSTIC),
        )
        writer.finish(vocabulary, table)
