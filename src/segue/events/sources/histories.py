"""Listeners' histories cut into sessions by inactivity and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError

GAP_MINUTES: Final = 20.0
MAX_LENGTH: Final = 20
"""Method, section 2: histories are cut by inactivity (20 minutes) and length (<= 20)."""


@dataclass(frozen=True)
class Histories:
    """Sessions cut out of histories, in order of (listener, time, file row)."""

    rows: NDArray[np.int64]
    """Row of the log at each place."""
    session: NDArray[np.int32]
    """Session code at each place, 0-based, ascending."""
    session_ids: pl.Series
    """`<user>:<n>`, n the 0-based number of the session within its listener's history."""
    user: NDArray[np.int32]
    """Listener of each place: index of the id in UTF-8 byte order."""


def cut_histories(users: pl.Series, at: NDArray[np.int64], gap_minutes: float, max_length: int) -> Histories:
    """Return the sessions of histories: a new one after more than `gap_minutes` or after `max_length` events.

    `users` String [rows] without nulls, `at` int64 [rows] UTC seconds. Equal times keep their file order.

    Raises:
        InputError: a gap or length that is not positive.
    """
    check_cut(gap_minutes, max_length)
    names = users.unique().sort()
    index = pl.DataFrame({"user": names, "code": np.arange(len(names), dtype=np.int32)})
    code = pl.DataFrame({"user": users}).join(index, on="user", how="left", maintain_order="left")["code"].to_numpy()
    rows = np.lexsort((at, code)).astype(np.int64)
    user, times = code[rows], at[rows]
    fresh = _starts(user)
    idle = np.zeros(len(rows), np.bool_)
    idle[1:] = np.diff(times) > gap_minutes * 60
    start = fresh | idle
    place = np.arange(len(rows)) - np.maximum.accumulate(np.where(start, np.arange(len(rows)), 0))
    start |= place % max_length == 0
    session = (np.cumsum(start) - 1).astype(np.int32)
    first = np.flatnonzero(start)
    opening = np.maximum.accumulate(np.where(fresh[first], np.arange(len(first)), 0))
    numbers = np.arange(len(first)) - opening
    ids = pl.DataFrame({"user": names.gather(user[first]), "n": numbers}).select(pl.format("{}:{}", "user", "n"))
    return Histories(rows, session, ids.to_series(), user)


def check_cut(gap_minutes: float, max_length: int) -> None:
    """Refuse a gap or length that is not positive.

    Raises:
        InputError: see there.
    """
    if not gap_minutes > 0 or max_length < 1:
        raise InputError(f"gap {gap_minutes} minutes, length {max_length}: both must be positive")


def tied_events(session: NDArray[np.int32], at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return True where an event's time equals that of a neighbour in its session (rows in session order)."""
    same = (session[1:] == session[:-1]) & (at[1:] == at[:-1])
    tied = np.zeros(len(session), np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    return tied


def _starts(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    start = np.ones(len(codes), np.bool_)
    start[1:] = codes[1:] != codes[:-1]
    return start
