"""What followed the last few tracks together in training sessions; NumPy alone.

>>> training = FlatSessions(np.array([3, 4, 5, 3, 4, 5, 4, 6]), np.array([0, 3, 6, 8]))
>>> index = ContextIndex.of(training, num_rows=7, order=2)
>>> context = index.contexts(FlatSessions(np.array([3, 4, 5, 4]), np.array([0, 2, 4])))
>>> index.plays(context).tolist()
[2, 0]
>>> session, track, share = index.following(context)
>>> session.tolist(), track.tolist(), share.tolist()
([0], [5], [1.0])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.neighbours.sparse_scores import FlatSessions, bits, firsts, mask, spread, starts

NO_CONTEXT = -1
"""Number of a context that training sessions do not have."""
Following = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True)
class ContextIndex:
    """What followed each sequence of `order` tracks."""

    keys: tuple[NDArray[np.int64], ...]
    """Of orders 2, 3, ... up to the last: [number of the context without its first track | that track], ascending."""
    offsets: NDArray[np.int64]
    """First entry of each context in `after`, then the end of the last."""
    after: NDArray[np.int32]
    """Tracks that followed, context after context, ascending."""
    count: NDArray[np.int32]
    """How often."""
    total: NDArray[np.int64]
    """How often anything followed, by context."""
    rows: int
    """Bits of a table row."""

    @classmethod
    def of(cls, sessions: FlatSessions, num_rows: int, order: int) -> ContextIndex:
        """Return what followed `order` >= 2 tracks in training sessions, whose tracks are below `num_rows`."""
        rows, keys = bits(num_rows), list[NDArray[np.int64]]()
        past = np.arange(len(sessions.tracks)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
        end = np.flatnonzero((sessions.step > 1) & (past >= order - 1))
        number = sessions.tracks[end]
        for back in range(1, order):
            key, number = np.unique((number << rows) | sessions.tracks[end - back], return_inverse=True)
            keys.append(key)
        cell = np.sort((number << rows) | sessions.tracks[end + 1])
        first = np.flatnonzero(firsts(cell))
        count = np.diff(np.append(first, len(cell)))
        offsets = starts(np.bincount(cell[first] >> rows, minlength=len(keys[-1])))
        after, total = cell[first] & mask(rows), np.bincount(number, minlength=len(keys[-1]))
        return cls(tuple(keys), offsets, after.astype(np.int32), count.astype(np.int32), total, rows)

    def contexts(self, sessions: FlatSessions) -> NDArray[np.int64]:
        """Return the number of the context that ends each session, or NO_CONTEXT, [B]."""
        last, lengths = sessions.offsets[1:] - 1, sessions.lengths
        number = np.full(len(sessions), NO_CONTEXT)
        number[lengths > 0] = sessions.tracks[last[lengths > 0]]
        for back, keys in enumerate(self.keys, 1):
            extendable = np.flatnonzero((number != NO_CONTEXT) & (lengths > back) & (len(keys) > 0))
            key = (number[extendable] << self.rows) | sessions.tracks[last[extendable] - back]
            index = np.minimum(np.searchsorted(keys, key), max(len(keys) - 1, 0))
            number = np.full(len(sessions), NO_CONTEXT)
            number[extendable] = np.where(keys[index] == key, index, NO_CONTEXT) if len(extendable) else index
        return number

    def plays(self, context: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often something followed each context, [B]."""
        exists, plays = context != NO_CONTEXT, np.zeros(len(context), np.int64)
        plays[exists] = self.total[context[exists]]
        return plays

    def following(self, context: NDArray[np.int64]) -> Following:
        """Return session, track and p(track | context) of what followed, by session and track."""
        begin = self.offsets[np.maximum(context, 0)]
        counts = np.where(context != NO_CONTEXT, self.offsets[np.maximum(context, 0) + 1 - (context < 0)] - begin, 0)
        index, session = spread(begin, counts), np.repeat(np.arange(len(context)), counts)
        return session, self.after[index].astype(np.int64), self.count[index] / self.plays(context)[session]
