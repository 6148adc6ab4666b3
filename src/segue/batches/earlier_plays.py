"""What each play of a listener comes after: how long since the play before, and how often the track was played."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.batches.listener_past import listener_ranges
from segue.batches.listening_order import listening_order, session_begins
from segue.batches.split import Split, ranges
from segue.store import Store


def seconds_since_play(store: Store, split: Split) -> NDArray[np.int64]:
    """Return the seconds between the start of each row and that of the listener's play before it, [rows].

    That is the row before in the session, or the last row that may be read of earlier sessions; -1 where there is none,
    0 where sessions overlap. `store` has times and listeners.
    """
    past, first = listener_ranges(store, split), np.asarray(store.offsets)[:-1]
    at = np.asarray(store.side(columns.AT)).astype(np.int64)
    result = np.maximum(np.diff(at, prepend=at[:1]), 0)
    result[first] = -1
    follows = past.end > past.begin
    before = past.rows[past.end[follows] - 1]
    result[first[follows]] = np.maximum(at[first[follows]] - at[before], 0)
    return result


def times_played(store: Store, split: Split) -> NDArray[np.int32]:
    """Return how often its listener had played the track of each row before it, [rows].

    Plays count that may be read of earlier sessions, and those earlier in the session. `store` has listeners.
    """
    offsets, user = np.asarray(store.offsets).astype(np.int64), np.asarray(store.side(columns.USER)).astype(np.int64)
    order = listening_order(user, session_begins(store))
    session = np.repeat(order, np.diff(offsets)[order]).astype(np.int32)
    rows = ranges(offsets[order], offsets[order + 1])
    key = user[session] * int(store.tracks.max(initial=0) + 1) + np.asarray(store.tracks)[rows]
    by_track = np.argsort(key, kind="stable")
    key, rows, session = key[by_track], rows[by_track], session[by_track]
    readable = np.zeros(store.num_rows, np.bool_)
    readable[ranges(*split.readable)] = True
    may_read = readable[rows]
    new_track = np.diff(key, prepend=-1) != 0
    new_session = new_track | (np.diff(session, prepend=-1) != 0)
    result = np.empty(store.num_rows, np.int32)
    result[rows] = _earlier(may_read, new_track) + _earlier(~may_read, new_session)
    return result


def _earlier(counts: NDArray[np.bool_], is_first: NDArray[np.bool_]) -> NDArray[Any]:
    """Return how many of the entries before each one of its group are true; `is_first`: where groups begin."""
    before = np.cumsum(counts, dtype=np.int32) - counts
    return before - np.maximum.accumulate(np.where(is_first, before, 0))
