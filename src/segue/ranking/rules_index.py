"""How often tracks follow, or go with, others in training sessions: a pruned sparse table of rules; NumPy alone.

>>> training = FlatSessions(np.array([3, 4, 5, 3, 5]), np.array([0, 3, 5]))
>>> rules = RulesIndex.of(training, 6, np.array([1.0, 0.5]))
>>> asked = FlatSessions(np.array([4, 3]), np.array([0, 2]))
>>> scores = rules.scores(asked, np.array([0.0, 1.0]))
>>> scores.track.tolist(), scores.value.tolist()
([4, 5], [1.0, 1.5])
>>> rules.scores(asked, np.array([0.0, 1.0]), leave_out=np.array([0])).track.tolist()
[5]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.neighbours.sparse_scores import (
    QUANTUM,
    FlatSessions,
    SparseScores,
    bits,
    blocks,
    firsts,
    mask,
    spread,
    starts,
    summed,
)

MOST_RULES: Final = 200
"""Most rules of a track, the heaviest ones; the public code of sequential rules keeps 20."""
PAIRS_AT_ONCE: Final = 2**22
"""Pairs sorted at a time when rules are counted: 32 MB of keys."""
RULES_AT_ONCE: Final = 2**16
SESSIONS_AT_ONCE: Final = 256


@dataclass(frozen=True)
class RulesIndex:
    """For each track, the tracks that follow it and how much each pair weighs in training."""

    after: NDArray[np.int32]
    """The tracks of the rules of each row, ascending, row after row."""
    weight: NDArray[np.float32]
    """Weight of each rule: the sum over its pairs."""
    offsets: NDArray[np.int64]
    """First rule of each table row, then the end of the last."""
    totals: NDArray[np.float64]
    """Sum of the weights of each row, rules that were pruned included, [R]."""
    sessions: FlatSessions
    """The training sessions, which are left out on request."""
    by_distance: NDArray[np.float64]
    """Weight of a pair of tracks 1, 2, ... positions apart."""

    @classmethod
    def of(
        cls,
        sessions: FlatSessions,
        num_rows: int,
        by_distance: NDArray[np.float64],
        most: int = MOST_RULES,
        *,
        both_ways: bool = False,
        scale: NDArray[np.float64] | None = None,
    ) -> RulesIndex:
        """Return the rules of training sessions: sequential rules, or with one distance first-order transitions.

        weight(a -> b) = sum over the pairs of positions p < q of a session with tracks a and b, q - p at most
        len(by_distance), of by_distance[q - p - 1] (Kamehkhosh, Jannach & Ludewig 2017; Ludewig & Jannach 2018, section
        3.2.2, where it is 1 / distance). A track may follow itself.

        Args:
            sessions: training sessions; session i has the number i.
            num_rows: rows of the track table.
            by_distance: weight of a pair by its distance, [steps].
            most: most rules of a track, the heaviest ones, equal ones by lower row.
            both_ways: count pairs q < p as well, as co-occurrences are counted.
            scale: multiplies the weight of a -> b by scale[a] scale[b], [R].
        """
        parts, counts, totals = list[_Rows](), np.zeros(num_rows, np.int64), np.zeros(num_rows)
        for before, after, quanta in _pairs(sessions, num_rows, by_distance, both_ways):
            weight = (quanta / QUANTUM).astype(np.float64)
            if scale is not None:
                weight *= scale[before] * scale[after]
            totals += np.bincount(before, weight, num_rows)
            chosen = _heaviest(before, weight, most)
            counts += np.bincount(before[chosen], minlength=num_rows)
            parts.append((after[chosen].astype(np.int32), weight[chosen].astype(np.float32)))
        joined = [np.concatenate(some) for some in zip(*parts, strict=True)] if parts else [np.zeros(0), np.zeros(0)]
        rules, weights = joined[0].astype(np.int32), joined[1].astype(np.float32)
        return cls(rules, weights, starts(counts), totals, sessions, by_distance)

    def scores(
        self,
        sessions: FlatSessions,
        weights: NDArray[np.float64],
        leave_out: NDArray[np.int64] | None = None,
        *,
        shares: bool = False,
    ) -> SparseScores:
        """Return the sum of the rules of the tracks of B sessions.

        score(b) = sum over positions with track a of weights[position] weight(a -> b), divided by the total of row a
        with `shares`.

        Args:
            sessions: any tracks; B sessions.
            weights: weight of each position, >= 0; those of weight 0 cost nothing, [N].
            leave_out: number of a training session whose pairs do not count, -1 = none, [B]. Of pairs counted forward
                alone, and up to the pruning of rows: a rule that was pruned does not come back.
            shares: see above.
        """
        used = (weights > 0) & (sessions.tracks < len(self.offsets) - 1)
        session, track, weight = sessions.session[used], sessions.tracks[used], weights[used]
        own_pairs = None if leave_out is None else self._own(session, track, leave_out)
        if shares:
            total = self.totals[track] - (
                0.0 if own_pairs is None else np.bincount(own_pairs.entry, own_pairs.weight, len(track))
            )
            weight = np.divide(weight, total, out=np.zeros(len(weight)), where=total > 0.5 / QUANTUM)
        begin, counts = self.offsets[track], np.diff(self.offsets)[track]
        entry = np.searchsorted(session, np.arange(len(sessions) + 1))
        of_session = np.diff(starts(counts)[entry])
        parts = list[tuple[int, SparseScores]]()
        for low, high in blocks(of_session, RULES_AT_ONCE, SESSIONS_AT_ONCE):
            some = slice(entry[low], entry[high])
            index = spread(begin[some], counts[some])
            value = self.weight[index].astype(np.float64) * np.repeat(weight[some], counts[some])
            who = np.repeat(session[some] - low, counts[some])
            parts.append((low, summed(who, self.after[index], value)))
        scores = SparseScores.joined(parts)
        if own_pairs is None or len(own_pairs.entry) == 0:
            return scores
        lessened = summed(session[own_pairs.entry], own_pairs.after, own_pairs.weight * weight[own_pairs.entry])
        return scores.less(lessened)

    def _own(self, session: NDArray[np.int64], track: NDArray[np.int64], leave_out: NDArray[np.int64]) -> _Own:
        """Return the pairs that the training session left out for each entry (session, track) contributes."""
        number = leave_out[session]
        lengths = np.where(number >= 0, self.sessions.lengths[number], 0) if len(self.sessions) else 0 * number
        position = spread(self.sessions.offsets[np.maximum(number, 0)], lengths)
        entry = np.repeat(np.arange(len(track)), lengths)
        same = self.sessions.tracks[position] == track[entry]
        position, entry = position[same], entry[same]
        end = self.sessions.offsets[number[entry] + 1]
        steps = np.minimum(end - position - 1, len(self.by_distance))
        later = spread(position + 1, steps)
        distance = later - np.repeat(position, steps)
        return _Own(np.repeat(entry, steps), self.sessions.tracks[later], self.by_distance[distance - 1])


_Rows = tuple[NDArray[np.int32], NDArray[np.float32]]
_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class _Own:
    """Pairs of a training session that is left out: which entry, the track that follows, and their weight."""

    entry: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: NDArray[np.float64]


def _pairs(
    sessions: FlatSessions, num_rows: int, by_distance: NDArray[np.float64], both_ways: bool
) -> Iterator[_Pairs]:
    """Yield pairs (before, after) and their summed weights in quanta, ascending, some rows at a time."""
    quanta = np.rint(by_distance * QUANTUM).astype(np.int64)
    tracks, steps = sessions.tracks, len(by_distance)
    room = np.repeat(sessions.offsets[1:], sessions.lengths) - np.arange(len(tracks)) - 1
    past = np.arange(len(tracks)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    order = np.argsort(tracks, kind="stable")
    counts = np.bincount(tracks, minlength=num_rows)
    ends = np.cumsum(counts)
    per_row = steps * (2 if both_ways else 1)
    rows, distances = bits(num_rows), bits(steps)
    assert 2 * rows + distances <= 63
    for low, high in blocks(counts * per_row, PAIRS_AT_ONCE, num_rows):
        position = order[ends[low] - counts[low] : ends[high - 1]]
        keys = []
        for distance in range(1, steps + 1):
            for reach, sign in ((room, 1), (past, -1))[: 1 + both_ways]:
                some = position[reach[position] >= distance]
                keys.append((((tracks[some] << rows) | tracks[some + sign * distance]) << distances) | distance)
        key = np.sort(np.concatenate(keys))
        pair = key >> distances
        first = np.flatnonzero(firsts(pair))
        total = np.add.reduceat(quanta[(key & mask(distances)) - 1], first) if len(first) else first
        yield pair[first] >> rows, pair[first] & mask(rows), total


def _heaviest(row: NDArray[np.int64], weight: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the indices of the `most` heaviest rules of each row (ascending), equal ones by lower index, ascending."""
    counts = np.bincount(row)
    full = np.flatnonzero(counts[row] > most)
    order = full[np.lexsort((full, -weight[full], row[full]))]
    begin = np.searchsorted(row[full], row[full])
    light = order[np.arange(len(full)) - begin >= most]
    chosen = np.ones(len(row), np.bool_)
    chosen[light] = False
    return np.flatnonzero(chosen)
