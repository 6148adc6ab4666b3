"""Sessions as flat arrays, and scores of few tracks a session; NumPy alone, so that serving can use them.

Sums are exact: every part is rounded to a whole number of quanta first. So a score does not depend on the order of the
parts, on the other sessions of a batch, or on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

QUANTUM: Final = 2**20
"""Steps of a score: each part of a sum is a whole number of 1/QUANTUM."""
WORD: Final = 63
"""Bits of a sort key."""


@dataclass(frozen=True)
class FlatSessions:
    """B sessions of tracks, one after another: session b is tracks[offsets[b]:offsets[b + 1]]."""

    tracks: NDArray[np.int64]
    """Table rows, [N]. Rows that no training session holds (PAD, UNKNOWN) count as positions and match nothing."""
    offsets: NDArray[np.int64]
    """[B + 1]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of positions of each session, [B]."""
        return np.diff(self.offsets)

    @property
    def session(self) -> NDArray[np.int64]:
        """Session of each position, [N]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def step(self) -> NDArray[np.int64]:
        """Positions from each one to the end of its session, [N]: 1 = the last."""
        return np.repeat(self.offsets[1:], self.lengths) - np.arange(self.offsets[0], self.offsets[-1])

    def part(self, begin: int, end: int) -> FlatSessions:
        """Return sessions begin..end-1."""
        first, last = self.offsets[begin], self.offsets[end]
        return FlatSessions(self.tracks[first:last], self.offsets[begin : end + 1] - first)

    def recent(self, keep: int) -> FlatSessions:
        """Return the last `keep` positions of each session."""
        inside = self.step <= keep
        return FlatSessions(self.tracks[inside], starts(np.minimum(self.lengths, keep)))

    def last_occurrences(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return session, track and step of each track of each session, at its last occurrence."""
        session, step = self.session, self.step
        steps, rows = bits(int(step.max(initial=0))), bits(int(self.tracks.max(initial=0)))
        key = np.sort((((session << rows) | self.tracks) << steps) | step)
        key = key[firsts(key >> steps)]
        return key >> (rows + steps), (key >> steps) & mask(rows), key & mask(steps)


@dataclass(frozen=True)
class SparseScores:
    """Scores above 0 of tracks after B sessions, by session and then by track; all other tracks have 0."""

    session: NDArray[np.int64]
    """[n]"""
    track: NDArray[np.int64]
    """[n]"""
    value: NDArray[np.float64]
    """Whole numbers of 1/QUANTUM, [n]."""

    def without(self, sessions: FlatSessions) -> SparseScores:
        """Return the scores without those of the tracks of `sessions`."""
        rows = bits(int(max(self.track.max(initial=0), sessions.tracks.max(initial=0))))
        heard_cells = np.sort((sessions.session << rows) | sessions.tracks)
        other = ~among((self.session << rows) | self.track, heard_cells)
        return SparseScores(self.session[other], self.track[other], self.value[other])

    def less(self, other: SparseScores) -> SparseScores:
        """Return the scores less those of `other`; what falls to 0 or below is left out."""
        rows = bits(int(max(self.track.max(initial=0), other.track.max(initial=0))))
        key, taken = (self.session << rows) | self.track, (other.session << rows) | other.track
        value = self.value.copy()
        shared = among(taken, key)
        value[np.searchsorted(key, taken[shared])] -= other.value[shared]
        above = value > 0.5 / QUANTUM
        return SparseScores(self.session[above], self.track[above], value[above])

    @classmethod
    def joined(cls, parts: list[tuple[int, SparseScores]]) -> SparseScores:
        """Return the scores of blocks of sessions; each part comes with the number of its first session."""
        nothing = np.zeros(0, np.int64)
        return cls(
            np.concatenate([nothing, *(part.session + first for first, part in parts)]),
            np.concatenate([nothing, *(part.track for _, part in parts)]),
            np.concatenate([np.zeros(0), *(part.value for _, part in parts)]),
        )


def summed(
    session: NDArray[np.int64],
    track: NDArray[np.integer[Any]],
    value: NDArray[np.float64],
    repeats: NDArray[np.int64] | None = None,
) -> SparseScores:
    """Return the sum of `value` (>= 0, rounded to quanta) of each session and track.

    One sort of keys [session | track | value] brings equal ones together. `repeats`: how many tracks each session and
    value stand for; None = one.
    """
    quanta = np.rint(value * QUANTUM).astype(np.int64)
    rows, values = bits(int(track.max(initial=0))), bits(int(quanta.max(initial=0)))
    assert bits(int(session.max(initial=0))) + rows + values <= WORD, "too many sessions at once"
    key = (session << (rows + values)) | quanta
    if repeats is not None:
        key = np.repeat(key, repeats)
    key |= track.astype(np.int64) << values
    key.sort()
    cell = key >> values
    first = np.flatnonzero(firsts(cell))
    key &= mask(values)
    total = np.add.reduceat(key, first) if len(first) else np.zeros(0, np.int64)
    first, total = first[total > 0], total[total > 0]
    return SparseScores(cell[first] >> rows, cell[first] & mask(rows), total / QUANTUM)


def largest(session: NDArray[np.int64], total: NDArray[np.int64], num: int, number: int) -> NDArray[np.int64]:
    """Return the indices of the `number` largest totals (>= 0) of each of `num` sessions, the largest first.

    `session`: ascending. Of equal totals the last comes first.
    """
    counts = np.bincount(session, minlength=num)
    width, most = bits(len(session)), int(total.max(initial=0))
    totals = bits(most)
    assert bits(num) + totals + width <= WORD, "too many sessions at once"
    key = (session << totals) | (most - total)
    key = np.sort((key << width) | (len(session) - 1 - np.arange(len(session))))
    rank = np.arange(len(session)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(len(session) - 1 - (key[rank < number] & mask(width)))


def firsts(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which entries of an ordered array differ from the one before."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def among(values: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of `values` are in an ordered array."""
    if len(ordered) == 0:
        return np.zeros(len(values), np.bool_)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values)


def starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first index of each of several ranges that lie one after another, and the end of the last."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def spread(begin: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices begin[i]..begin[i] + lengths[i] - 1, range after range."""
    offsets = starts(lengths)
    return np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)


def blocks(sizes: NDArray[np.int64], most: int, widest: int) -> list[tuple[int, int]]:
    """Return the bounds of blocks of at most `widest` sessions whose sizes sum to about `most`."""
    ends = np.cumsum(sizes)
    bounds, begin = list[tuple[int, int]](), 0
    while begin < len(sizes):
        before = ends[begin - 1] if begin else 0
        end = min(max(int(np.searchsorted(ends, before + most, "right")), begin + 1), begin + widest, len(sizes))
        bounds.append((begin, end))
        begin = end
    return bounds


def bits(largest: int) -> int:
    """Return the number of bits of numbers 0..largest."""
    return max(largest.bit_length(), 1)


def mask(width: int) -> int:
    """Return the number with the lowest `width` bits set."""
    return (1 << width) - 1
