"""Rows in session order: sessions by their first row in the file, rows by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.events.rejects import DUPLICATE_POSITION, SESSION_IN_TWO_FILES, Rejects
from segue.events.table import EventTable
from segue.hashing import session_keys

_MOST_PLACES: Final = 4
"""Places a row that a counting sort may take (4 bytes each); beyond it a comparison sort costs less."""


@dataclass(frozen=True)
class Ordered:
    """Which rows of an event table make its sessions, and in which order."""

    rows: NDArray[np.int64] | None
    """Row of the event table at each place of the store; None: every row as it stands."""
    offsets: NDArray[np.int64]
    session_key: NDArray[np.uint64]


def packed(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `(bytes, offsets)` of a String column, its UTF-8 laid end to end."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(texts.str.len_bytes().to_numpy(), out=offsets[1:])
    joined = texts.str.join("").item() if len(texts) else ""
    return np.frombuffer(joined.encode("utf-8"), np.uint8), offsets


class SeenKeys:
    """The session keys of the files so far: sorted runs, each at least twice as long as the next.

    A look-up costs a binary search in every run, and a key is merged log2(files) times, whatever the number of files.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def known(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of `keys` were added before."""
        known = np.zeros(len(keys), np.bool_)
        for run in self._runs:
            known |= run[np.minimum(np.searchsorted(run, keys), len(run) - 1)] == keys
        return known

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Take the keys of one file."""
        fresh = np.sort(keys)
        while self._runs and len(self._runs[-1]) < 2 * len(fresh):
            fresh = np.sort(np.concatenate([self._runs.pop(), fresh]), kind="stable")  # merges two sorted runs
        if len(fresh):
            self._runs.append(fresh)


def order_rows(table: EventTable, seen: SeenKeys, rejects: Rejects) -> Ordered:
    """Return the order of `table`'s rows; duplicate positions and sessions of earlier files go to `rejects`.

    Of rows with one session and position the earliest line stays. `seen` holds the keys of earlier files and takes
    those of this one. A file whose sessions are contiguous with ascending positions is taken as it stands (nothing is
    sorted or copied).
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
    keys = session_keys(*packed(table.session_ids))
    known = seen.known(keys)
    if known.any():
        rows = np.arange(len(session)) if rows is None else rows
        old = known[session]
        rejects.add(SESSION_IN_TWO_FILES, table.name, _texts(table, rows[old]))
        rows, session = rows[~old], session[~old]
    first = np.flatnonzero(np.concatenate([np.ones(1, np.bool_), session[1:] != session[:-1]])[: len(session)])
    kept = keys[session[first]]
    seen.add(kept)
    return Ordered(rows, np.append(first, len(session)).astype(np.int64), kept)


def _placed(table: EventTable) -> NDArray[np.int64] | None:
    """Return the rows by session and position, each put straight at its place among all possible ones.

    None where the possible places (sessions x range of positions) are many more than the rows, or two rows have one.
    """
    low = int(table.position.min())
    width = int(table.position.max()) - low + 1
    places = len(table.session_ids) * width
    if places > _MOST_PLACES * len(table.session) or len(table.session) >= 2**31:
        return None
    place = table.session * np.int64(width)
    place += table.position
    place -= low
    row_at = np.full(places, -1, np.int32)
    row_at[place] = np.arange(len(place), dtype=np.int32)
    rows = row_at[row_at >= 0]
    return rows.astype(np.int64) if len(rows) == len(place) else None


def _without_duplicates(
    table: EventTable, session: NDArray[np.int32], rows: NDArray[np.int64], rejects: Rejects
) -> NDArray[np.int64]:
    """Return `rows` less those whose session and position stand on an earlier line (the sort is stable)."""
    ordered, position = session[rows], table.position[rows]
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (ordered[1:] == ordered[:-1]) & (position[1:] == position[:-1])
    if not again.any():
        return rows
    rejects.add(DUPLICATE_POSITION, table.name, _texts(table, np.sort(rows[again])))
    return rows[~again]


def _texts(table: EventTable, rows: NDArray[np.int64]) -> list[tuple[int, str]]:
    """Return `(line, session,position,track)` of the given rows."""
    sessions = table.session_ids.gather(table.session[rows]).to_list()
    tracks = table.track_ids.gather(table.track[rows]).to_list()
    places = zip(table.lines(rows).tolist(), sessions, table.position[rows].tolist(), tracks, strict=True)
    return [(line, f"{session},{position},{track}") for line, session, position, track in places]
