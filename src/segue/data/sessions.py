"""Plays in order, without repeats, cut into sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.data.plays import Plays
from segue.data.strengths import Floats, strengths

_US = 10**6
_MOST_CODES: Final = 4
"""Codes per row of a look-up table (8 bytes each); with more, a sort costs less."""


@dataclass(frozen=True)
class CutRules:
    """How plays become sessions."""

    gap_minutes: float
    """A longer pause ends a session; it counts from the end of a play if that is known."""
    max_length: int
    """A session ends after this many plays."""
    ends: bool
    """True if the time of a play is that of its end."""
    newest_first: bool
    """True if plays of one time are in reverse order."""
    drop_repeats: bool
    """True: only the first of exact duplicates stays."""
    guess: bool
    """True: feedback is guessed from gaps. False for logs that state or measure any: the rest is unknown."""


@dataclass(frozen=True)
class CutPlays:
    """Plays in the order of the store, with sessions and feedback, [N]."""

    plays: Plays
    session: NDArray[np.int32]
    """Number of the session of each play, ascending from 0."""
    number: NDArray[np.int64]
    """Number of each session within its listener's history, [S]; -1 if the log states sessions."""
    start_us: NDArray[np.int64] | None
    """Start of each play, microseconds UTC; None in a log without times."""
    strength: NDArray[np.uint8]
    origin: NDArray[np.uint8]
    """Where each strength comes from: a code of `strengths.ORIGINS`."""
    repeats: int
    """Exact duplicates that were dropped."""


def cut_plays(plays: Plays, rules: CutRules) -> CutPlays:
    """Return `plays` cut into sessions, each play with its strength."""
    plays, repeats = _ordered(plays, rules)
    start, end = _spans(plays, rules)
    owner = plays.listener if plays.session is None else _pairs(plays.listener, plays.session)
    fresh = np.ones(len(plays), np.bool_)
    fresh[1:] = owner[1:] != owner[:-1]
    first = fresh.copy()
    if plays.session is None:
        assert start is not None, "histories have times"
        assert end is not None, "histories have times"
        first[1:] |= start[1:] - end[:-1] > rules.gap_minutes * 60 * _US
        position = np.arange(len(plays)) - np.maximum.accumulate(np.where(first, np.arange(len(plays)), 0))
        first |= position % rules.max_length == 0
    session = (np.cumsum(first) - 1).astype(np.int32)
    gap_s = _gaps(start, fresh, session) if rules.guess else None
    strength, origin = strengths(plays.stated, plays.share, plays.played_s, plays.length_s, gap_s)
    return CutPlays(plays, session, _numbers(first, fresh, plays), start, strength, origin, repeats)


def _ordered(plays: Plays, rules: CutRules) -> tuple[Plays, int]:
    """Return plays by listener, session, and position, else time, else file; and the number of repeats dropped."""
    row = np.arange(len(plays))
    keys: list[NDArray[np.generic]] = [-row] if rules.newest_first else []
    if plays.position is not None:
        keys.append(plays.position)
    elif plays.at is not None:
        keys.append(plays.at)
    if plays.session is not None:
        keys.append(_first_seen(_pairs(plays.listener, plays.session)))
    keys.append(plays.listener if plays.session is None else _first_seen(plays.listener))
    if not _is_ordered(keys):
        plays = plays.take(_order_by(keys))
    if not rules.drop_repeats or plays.at is None:
        return plays, 0
    again = repeated(plays)
    return plays.take(np.flatnonzero(~again)) if again.any() else plays, int(again.sum())


def _is_ordered(keys: list[NDArray[np.generic]]) -> bool:
    """Return whether rows are in the order of `keys`, the last key being the most significant."""
    equal, rising = np.ones(len(keys[0]) - 1, np.bool_), np.zeros(len(keys[0]) - 1, np.bool_)
    for key in reversed(keys):
        rising |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return bool((rising | equal).all())


def repeated(plays: Plays) -> NDArray[np.bool_]:
    """Return which plays equal an earlier one in listener, time, track and time played, bool [N]."""
    again = np.zeros(len(plays), np.bool_)
    if plays.at is None or len(plays) == 0:
        return again
    parts: list[NDArray[np.generic]] = [plays.track, plays.at, plays.listener]
    if plays.played_s is not None:
        parts.insert(0, np.nan_to_num(plays.played_s, nan=-1.0))
    order = np.lexsort(parts)
    again[order[1:]] = np.logical_and.reduce([part[order][1:] == part[order][:-1] for part in parts])
    return again


def _spans(plays: Plays, rules: CutRules) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Return start and end of plays, microseconds; a play without a known length ends when it starts."""
    if plays.at is None:
        return None, None
    if plays.played_s is None:
        return plays.at, plays.at
    lasted = (np.maximum(np.nan_to_num(plays.played_s), 0.0) * _US).astype(np.int64)
    return (plays.at - lasted, plays.at) if rules.ends else (plays.at, plays.at + lasted)


def _gaps(start: NDArray[np.int64] | None, fresh: NDArray[np.bool_], session: NDArray[np.int32]) -> Floats:
    """Return the seconds from the start of each play to that of the next in its session; NaN without a next."""
    gap = np.full(len(fresh), np.nan)
    if start is not None:
        gap[:-1] = np.where(fresh[1:] | (session[1:] != session[:-1]), np.nan, np.diff(start) / _US)
    return gap


def _pairs(listener: NDArray[np.int32], session: NDArray[np.int32]) -> NDArray[np.int64]:
    return (listener.astype(np.int64) << 32) + session


def _first_seen(codes: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the first run of equal codes in which each code appears."""
    start = np.flatnonzero(np.concatenate([np.ones(1, np.bool_), codes[1:] != codes[:-1]]))
    runs, lengths = codes[start], np.diff(start, append=len(codes))
    low, span = int(runs.min()), int(runs.max()) - int(runs.min()) + 1
    if span <= _MOST_CODES * len(codes):
        first = np.zeros(span, np.int64)
        first[runs[::-1] - low] = np.arange(len(runs) - 1, -1, -1)  # a code's first run is written last
        return np.repeat(first[runs - low], lengths)
    _, first, inverse = np.unique(runs, return_index=True, return_inverse=True)
    return np.repeat(first[inverse], lengths)


def _order_by(keys: list[NDArray[np.generic]]) -> NDArray[np.int64]:
    """Return `np.lexsort(keys)`, computed on one number per row of all keys and the row if 63 bits are enough."""
    row_bits = len(keys[0]).bit_length()
    numbers, bits = np.zeros(len(keys[0]), np.int64), row_bits
    for key in reversed(keys):
        low, high = int(key.min()), int(key.max())
        width = (high - low).bit_length()
        bits += width
        if bits > 63 or max(-low, high) >= 2**62 or (key != (whole := key.astype(np.int64))).any():
            return np.lexsort(keys)
        numbers = (numbers << width) | (whole - low)
    return np.sort((numbers << row_bits) | np.arange(len(numbers))) & ((1 << row_bits) - 1)


def _numbers(first: NDArray[np.bool_], fresh: NDArray[np.bool_], plays: Plays) -> NDArray[np.int64]:
    begin = np.flatnonzero(first)
    if plays.session is not None:
        return np.full(len(begin), -1)
    opening = np.maximum.accumulate(np.where(fresh[begin], np.arange(len(begin)), 0))
    return np.arange(len(begin)) - opening
