"""The training sessions that share tracks with a session, found by sorts of whole blocks; NumPy alone.

For each track the index keeps the most recent training sessions that hold it, and where it stands in them: the index
of VMIS-kNN (Kersbergen, Sprangers & Schelter 2022, "Serenade"), which bounds the work of a query. We differ: the limit
holds for each track alone, and not once more for all tracks of the session.

>>> training = FlatSessions(np.array([3, 4, 5, 4, 6]), np.array([0, 3, 5]))
>>> index = SessionIndex.of(training, num_rows=7)
>>> asked = FlatSessions(np.array([3, 4]), np.array([0, 2]))
>>> near = index.nearest(asked, np.array([0.5, 1.0]), 10)
>>> near.neighbour.tolist(), near.similarity.tolist(), near.position.tolist()
([0, 1], [1.5, 1.0], [1, 0])
>>> index.nearest(asked, np.array([0.5, 1.0]), 10, leave_out=np.array([0])).neighbour.tolist()
[1]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.neighbours.sparse_scores import (
    QUANTUM,
    WORD,
    FlatSessions,
    bits,
    blocks,
    firsts,
    largest,
    mask,
    spread,
    starts,
)

RECENT: Final = 2000
"""Most training sessions of a track that an index keeps, by default."""
POSTINGS_AT_ONCE: Final = 2**17
"""Postings sorted at a time: a megabyte of keys, which stays in the cache."""
SESSIONS_AT_ONCE: Final = 512
STEP_BITS: Final = 8
"""Bits of a step from the end of a session."""
LONGEST: Final = 100
"""Most positions of a session that look for neighbours, the last ones."""
NOBODY: Final = -1
"""Leave no training session out."""


STORED: Final = ("tracks", "offsets", "distinct", "postings", "posting_offsets")
"""The arrays that a stored index has."""


@dataclass(frozen=True)
class Neighbours:
    """Training sessions near B sessions: by session, then the most similar first, then the most recent first."""

    session: NDArray[np.int64]
    """Which of the B sessions, [n]."""
    neighbour: NDArray[np.int64]
    """Index of the training session, [n]."""
    similarity: NDArray[np.float64]
    """Sum of the weights of the common tracks, [n]."""
    step: NDArray[np.int64]
    """Step of the most recent common track from the end of the session, [n]; 1 = its last position."""
    position: NDArray[np.int64]
    """Last position of that track in the training session, counted from 0, [n]."""


@dataclass(frozen=True)
class SessionIndex:
    """Training sessions in order of time, oldest first, and the postings of each track."""

    tracks: NDArray[np.int32]
    """Tracks of the sessions, one session after another."""
    offsets: NDArray[np.int64]
    """First index of each session, then the end of the last."""
    distinct: NDArray[np.bool_]
    """Whether a position is the last one of its track in the session."""
    sizes: NDArray[np.int32]
    """Distinct tracks of each session."""
    postings: NDArray[np.int64]
    """The sessions that hold a track, ascending, track after track: each is its index, STEP_BITS zeros, and in
    `position_bits` the last position of the track there."""
    position_bits: int
    posting_offsets: NDArray[np.int64]
    """First posting of each table row, then the end of the last."""
    place_of: NDArray[np.int64]
    """Place of each training session, by its number as given to `of`."""

    @classmethod
    def of(
        cls, sessions: FlatSessions, num_rows: int, began: NDArray[np.int64] | None = None, recent: int = RECENT
    ) -> SessionIndex:
        """Return the index of training sessions.

        Args:
            sessions: their tracks; session i has the number i.
            num_rows: rows of the track table.
            began: when each began; ties, or None: in the order of their numbers.
            recent: most sessions kept for a track, the most recent ones.
        """
        number_at = np.arange(len(sessions)) if began is None else np.argsort(began, kind="stable")
        lengths = sessions.lengths[number_at]
        rows = spread(sessions.offsets[number_at], lengths)
        ordered = FlatSessions(sessions.tracks[rows], starts(lengths))
        neighbour, track, step = ordered.last_occurrences()
        at = ordered.offsets[neighbour + 1] - step
        distinct = np.zeros(len(rows), np.bool_)
        distinct[at] = True
        sizes = np.bincount(neighbour, minlength=len(sessions))
        by_track = np.argsort(track, kind="stable")  # places stay ascending
        counts = np.bincount(track, minlength=num_rows)
        rank = np.repeat(np.cumsum(counts), counts) - np.arange(len(track))  # 1 = the most recent
        by_track = by_track[rank <= recent]
        position = at - ordered.offsets[neighbour]
        position_bits = _position_bits(ordered.offsets)
        assert bits(len(sessions)) + STEP_BITS + position_bits <= WORD
        place_of = np.empty(len(sessions), np.int64)
        place_of[number_at] = np.arange(len(sessions))
        return cls(
            ordered.tracks.astype(np.int32),
            ordered.offsets,
            distinct,
            sizes.astype(np.int32),
            (neighbour[by_track] << (STEP_BITS + position_bits)) | position[by_track],
            position_bits,
            starts(np.minimum(counts, recent)),
            place_of,
        )

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SessionIndex:
        """Return the index of arrays as in `arrays`; without `leave_out` and `by_size`, which they do not hold."""
        return cls(
            sizes=np.zeros(0, np.int32), place_of=np.zeros(0, np.int64),
            position_bits=_position_bits(arrays["offsets"]), **arrays,
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the index by name, to be stored."""
        return {name: getattr(self, name) for name in STORED}

    def is_sound(self, first_row: int, num_rows: int) -> bool:
        """Return whether stored arrays can be those of an index of tracks first_row..num_rows-1."""
        ends, lengths = self.posting_offsets, np.diff(self.offsets)
        if not (_bounds(self.offsets, len(self.tracks)) and _bounds(ends, len(self.postings))):
            return False
        if len(self.distinct) != len(self.tracks) or len(ends) != num_rows + 1:
            return False
        if len(self.tracks) and not first_row <= self.tracks.min() <= self.tracks.max() < num_rows:
            return False
        position, session = self.postings & mask(self.position_bits), self.postings >> self._low_bits
        steps = (self.postings >> self.position_bits) & mask(STEP_BITS)
        if len(session) and not 0 <= session.min() <= session.max() < len(lengths):
            return False
        same_track = np.ones(max(len(session) - 1, 0), np.bool_)
        inner = ends[(ends > 0) & (ends < len(session))]
        same_track[inner - 1] = False
        ascending = (np.diff(session) > 0) | ~same_track
        return bool((steps == 0).all() and (position < lengths[session]).all() and ascending.all())

    @cached_property
    def distinct_tracks(self) -> bool:
        """Whether no session repeats a track."""
        return bool(self.distinct.all())

    def nearest(
        self,
        sessions: FlatSessions,
        weights: NDArray[np.float64],
        number: int,
        leave_out: NDArray[np.int64] | None = None,
        *,
        recent: int | None = None,
        by_size: bool = False,
    ) -> Neighbours:
        """Return the `number` training sessions most similar to each of B sessions.

        Similarity = sum of the weights of the common tracks, each at its last occurrence in the session, in quanta;
        with `by_size` divided by the square root of the distinct tracks of the training session (the cosine, but for a
        factor that all neighbours of a session share). Ties: the more recent training session first.

        Args:
            sessions: any tracks; B sessions, of which the last LONGEST positions count.
            weights: weight of each position of `sessions`, >= 0, [N].
            number: most neighbours of a session.
            leave_out: number of a training session that each session must not meet, NOBODY = none, [B].
            recent: most training sessions of a track, the most recent ones of those kept; None = all kept.
            by_size: see above.
        """
        quanta = np.rint(weights * QUANTUM).astype(np.int64)
        session, track, step = sessions.last_occurrences()
        usable = (track < len(self.posting_offsets) - 1) & (step <= LONGEST)
        usable &= quanta[sessions.offsets[session + 1] - step] > 0
        session, track, step = session[usable], track[usable], step[usable]
        end = self.posting_offsets[track + 1]
        counts = end - self.posting_offsets[track]
        if recent is not None:
            counts = np.minimum(counts, recent)
        of_session = np.bincount(session, weights=counts, minlength=len(sessions)).astype(np.int64)
        entry = np.searchsorted(session, np.arange(len(sessions) + 1))
        forbidden = None
        if leave_out is not None and len(self.place_of) and (leave_out >= 0).any():
            forbidden = np.where(leave_out >= 0, self.place_of[np.maximum(leave_out, 0)], NOBODY)
        parts = list[Neighbours]()
        for low, high in blocks(of_session, POSTINGS_AT_ONCE, SESSIONS_AT_ONCE):
            some = slice(entry[low], entry[high])
            keys = self._keys(session[some] - low, step[some], (end - counts)[some], counts[some])
            if forbidden is not None:
                keys = self._allowed(keys, forbidden[low:high])
            ends = sessions.offsets[low + 1 : high + 1]
            near = self._most_similar(keys, quanta, ends, number, by_size)
            parts.append(replace(near, session=near.session + low))
        return _joined(parts)

    def _keys(
        self, session: NDArray[np.int64], step: NDArray[np.int64], begin: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return a key [session | neighbour | step | position] for each posting of the tracks of a block."""
        assert bits(int(session.max(initial=0))) + self._neighbour_bits + self._low_bits <= WORD
        of_entry = (session << (self._neighbour_bits + self._low_bits)) | (step << self.position_bits)
        key = self.postings[spread(begin, counts)]
        key |= np.repeat(of_entry, counts)
        return key

    @property
    def _neighbour_bits(self) -> int:
        return bits(len(self.offsets))

    @property
    def _low_bits(self) -> int:
        """Bits of step and position."""
        return STEP_BITS + self.position_bits

    def _allowed(self, key: NDArray[np.int64], forbidden: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the keys but for the forbidden neighbour of each session."""
        pair = key >> self._low_bits
        return np.asarray(key[forbidden[pair >> self._neighbour_bits] != (pair & mask(self._neighbour_bits))])

    def _most_similar(
        self, key: NDArray[np.int64], quanta: NDArray[np.int64], ends: NDArray[np.int64], number: int, by_size: bool
    ) -> Neighbours:
        key.sort()
        pair = key >> self._low_bits
        first = np.flatnonzero(firsts(pair))
        step = key >> self.position_bits
        step &= mask(STEP_BITS)
        weight = ends[pair >> self._neighbour_bits]
        weight -= step
        total = np.add.reduceat(quanta[weight], first) if len(first) else np.zeros(0, np.int64)
        session, neighbour = pair[first] >> self._neighbour_bits, pair[first] & mask(self._neighbour_bits)
        if by_size:
            total = np.rint(total / np.sqrt(self.sizes[neighbour])).astype(np.int64)
        chosen = largest(session, total, len(ends), number)
        at = first[chosen]
        position = key[at] & mask(self.position_bits)
        return Neighbours(session[chosen], neighbour[chosen], total[chosen] / QUANTUM, step[at], position)


def _joined(parts: list[Neighbours]) -> Neighbours:
    nothing = np.zeros(0, np.int64)
    return Neighbours(
        np.concatenate([nothing, *(part.session for part in parts)]),
        np.concatenate([nothing, *(part.neighbour for part in parts)]),
        np.concatenate([np.zeros(0), *(part.similarity for part in parts)]),
        np.concatenate([nothing, *(part.step for part in parts)]),
        np.concatenate([nothing, *(part.position for part in parts)]),
    )


def _position_bits(offsets: NDArray[np.int64]) -> int:
    """Return the bits of a position in the longest session."""
    return bits(max(int(np.diff(offsets).max(initial=1)) - 1, 0))


def _bounds(offsets: NDArray[np.int64], end: int) -> bool:
    """Return whether offsets rise from 0 to `end`."""
    return bool(len(offsets) and offsets[0] == 0 and offsets[-1] == end and (np.diff(offsets) >= 0).all())
