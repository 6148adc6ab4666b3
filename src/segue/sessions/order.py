"""Rows in session order: sessions by their first row in the file, rows by position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.events.rejects import DUPLICATE_POSITION, SESSION_IN_TWO_FILES, Rejects
from segue.events.table import EventTable
from segue.hashing import session_keys


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


def order_rows(table: EventTable, seen: NDArray[np.uint64], rejects: Rejects) -> Ordered:
    """Return the order of `table`'s rows; duplicate positions and sessions of earlier files go to `rejects`.

    Of rows with one session and position the earliest line stays. `seen` holds the keys of earlier files. A file
    whose sessions are contiguous with ascending positions is taken as it stands (nothing is sorted or copied).
    """
    session, ids = _whole_sessions(table)
    rows: NDArray[np.int64] | None = None
    same = session[1:] == session[:-1]
    rising = (session[1:] > session[:-1]) | (same & (table.position[1:] > table.position[:-1]))
    if not rising.all():
        rows = np.lexsort((table.position, session))
        rows = _without_duplicates(table, session, rows, rejects)
        session = session[rows]
    keys = session_keys(*packed(ids))
    known = np.isin(keys, seen) if len(seen) else np.zeros(len(keys), np.bool_)
    if known.any():
        rows = np.arange(len(session)) if rows is None else rows
        old = known[session]
        rejects.add(SESSION_IN_TWO_FILES, table.name, _texts(table, rows[old]))
        rows, session = rows[~old], session[~old]
    first = np.flatnonzero(np.concatenate([np.ones(1, np.bool_), session[1:] != session[:-1]])[: len(session)])
    return Ordered(rows, np.append(first, len(session)).astype(np.int64), keys[session[first]])


def _whole_sessions(table: EventTable) -> tuple[NDArray[np.int32], pl.Series]:
    """Return each row's session code, codes in order of first appearance, and the distinct ids by code."""
    ids = table.session_ids
    distinct = ids.unique(maintain_order=True)
    if len(distinct) == len(ids):
        return table.session, ids
    index = pl.DataFrame({"id": distinct, "code": np.arange(len(distinct), dtype=np.int32)})
    codes = pl.DataFrame({"id": ids}).join(index, on="id", how="left", maintain_order="left")["code"].to_numpy()
    return codes[table.session], distinct


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
    places = zip(table.line[rows].tolist(), sessions, table.position[rows].tolist(), tracks, strict=True)
    return [(line, f"{session},{position},{track}") for line, session, position, track in places]
