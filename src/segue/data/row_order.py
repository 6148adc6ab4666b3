"""Rows in the order of the store: sessions by their first row in the file, rows by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.data.event_table import FILE, EventTable
from segue.data.rejects import DUPLICATE_POSITION, SESSION_IN_TWO_FILES, Rejects
from segue.data.session_keys import SeenKeys

_MOST_SLOTS: Final = 4
"""Slots per row of a counting sort (4 bytes each); with more, a comparison sort costs less."""


@dataclass(frozen=True)
class Ordered:
    """The rows of an event table in the order of the store."""

    rows: NDArray[np.int64] | None
    """Row of the event table for each row of the store; None: all rows, unchanged."""
    offsets: NDArray[np.int64]
    session_key: NDArray[np.uint64]


def order_rows(table: EventTable, seen: SeenKeys, rejects: Rejects) -> Ordered:
    """Return the order of `table`'s rows; duplicate positions and sessions of earlier files go to `rejects`.

    Of rows with one session and position the earliest line stays. `seen` has the keys of earlier files; those of this
    file are added. A file whose sessions are contiguous with ascending positions is neither sorted nor copied.
    """
    session = table.session
    rows: NDArray[np.int64] | None = None
    same = session[1:] == session[:-1]
    rising = (session[1:] > session[:-1]) | (same & (table.position[1:] > table.position[:-1]))
    if not rising.all():
        rows = _placed(table)
        if rows is None:
            rows = _without_duplicates(table, session, np.lexsort((table.position, session)), rejects)
        session = session[rows]
    keys = table.session_key
    if seen.contains(np.sort(keys)).any():  # sorted keys are looked up several times as fast
        rows = np.arange(len(session)) if rows is None else rows
        old = seen.contains(keys)[session]
        _reject(SESSION_IN_TWO_FILES, table, rows[old], rejects)
        rows, session = rows[~old], session[~old]
    first = np.flatnonzero(np.concatenate([np.ones(1, np.bool_), session[1:] != session[:-1]])[: len(session)])
    session_key = keys[session[first]]
    seen.add(session_key)
    return Ordered(rows, np.append(first, len(session)).astype(np.int64), session_key)


def _placed(table: EventTable) -> NDArray[np.int64] | None:
    """Return the rows by session and position, by a counting sort over one slot per session and possible position.

    None if there are many more slots than rows, or two rows share a slot.
    """
    low = int(table.position.min())
    width = int(table.position.max()) - low + 1
    num_slots = len(table.session_key) * width
    if num_slots > _MOST_SLOTS * len(table.session) or len(table.session) >= 2**31:
        return None
    slot = table.session * np.int64(width)
    slot += table.position
    slot -= low
    row_at = np.full(num_slots, -1, np.int32)
    row_at[slot] = np.arange(len(slot), dtype=np.int32)
    rows = row_at[row_at >= 0]
    return rows.astype(np.int64) if len(rows) == len(slot) else None


def _without_duplicates(
    table: EventTable, session: NDArray[np.int32], rows: NDArray[np.int64], rejects: Rejects
) -> NDArray[np.int64]:
    """Return `rows` without those whose session and position are on an earlier line (the sort is stable)."""
    ordered, position = session[rows], table.position[rows]
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (ordered[1:] == ordered[:-1]) & (position[1:] == position[:-1])
    if not again.any():
        return rows
    _reject(DUPLICATE_POSITION, table, rows[again], rejects)
    return rows[~again]


def _reject(kind: str, table: EventTable, rows: NDArray[np.int64], rejects: Rejects) -> None:
    """Add the given rows to `rejects` with file and line, as `session,position,track`."""
    rows = rows[np.argsort(table.line[rows], kind="stable")]
    texts = zip(table.session_ids(rows), table.position[rows].tolist(), table.track_texts(rows), strict=True)
    for file_and_line, (session, position, track) in zip(table.line[rows].tolist(), texts, strict=True):
        file, line = divmod(file_and_line, FILE)
        rejects.add(kind, table.names[file], [(line, f"{session},{position},{track}")])
