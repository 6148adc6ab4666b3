"""Exact scores of a few tracks after one session, from an export's arrays; the same as `segue.ranking.scores` gives.

    log( exp(T y . E[t]) + mass that heads add to t ) + lambda log P(listen to t)

Dot products are summed in float64 and rounded to float32.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Bool, Float, Int
from segue.exported.folder import ExportFolder, Successors
from segue.neighbours.session_neighbours import neighbour_shares
from segue.neighbours.sparse_scores import FlatSessions, starts
from segue.serving.earlier_plays import NO_PLAYS, EarlierPlays, PlayedMass, listened_or_skipped, repeated

_CHUNK: Final = 1 << 14
"""Rows multiplied at a time."""


@dataclass(frozen=True)
class After:
    """The outputs of the encoder and the heads after one session."""

    state: Float[np.ndarray, " D"]
    """y."""
    rows: tuple[int, ...]
    """Table rows of the tracks that the encoder read, the most recent last."""
    feedback: tuple[int, ...]
    """How each was heard."""
    direction: Float[np.ndarray, " D"] | None = None
    """u of logit P(listen) = u . row + level + the track's offset; None without that head."""
    level: float = 0.0


@dataclass(frozen=True)
class Scored:
    """Scores of n tracks after one session."""

    rows: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    """The score to rank by, float32."""
    log_next: Float[np.ndarray, " n"]
    """log of the unnormalised probability of being next, float64."""
    log_listen: Float[np.ndarray, " n"] | None
    """log P(listen), float64; None without that head."""


@dataclass(frozen=True)
class WithMass:
    """Candidates that heads give mass: what followed the last tracks in training, what the nearest training sessions
    hold, the tracks of the session, and what its listener played before."""

    rows: Int[np.ndarray, " n"]
    """Ascending."""
    times: Int[np.ndarray, " n"]
    """How often each followed the last track."""
    mass: Float[np.ndarray, " n"]
    """Log of the mass that they get, float64."""
    alone: Bool[np.ndarray, " n"]
    """Whether it stands in place of exp(score), not beside it."""

    @classmethod
    def joined(cls, parts: Sequence[WithMass]) -> WithMass:
        """Return all parts together."""
        parts = [part for part in parts if len(part.rows)]
        if len(parts) < 2:
            return parts[0] if parts else NONE
        rows, row_index = np.unique(np.concatenate([part.rows for part in parts]), return_inverse=True)
        mass, times, alone = np.full(len(rows), -np.inf), np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
        begin = 0
        for part in parts:  # the rows of one part are distinct
            index = row_index[begin : begin + len(part.rows)]
            mass[index] = np.logaddexp(mass[index], part.mass)
            times[index] += part.times
            alone[index] |= part.alone
            begin += len(part.rows)
        return cls(rows, times, mass, alone)


NONE = WithMass(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float64), np.zeros(0, np.bool_))


class Scoring:
    """The scores of one export."""

    def __init__(self, export: ExportFolder) -> None:
        self._export = export
        self._table = export.table
        self._temperature = np.float32(export.manifest.facts.temperature)
        copying = export.copying
        parts = () if copying is None else (copying.ask, copying.age, copying.heard)
        self._copying = [part.astype(np.float64) for part in parts]
        self.listen_weight = export.manifest.facts.listen_weight

    def sharpened(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return T y; its dot product with a row is the encoder's score."""
        sharp: NDArray[np.float32] = states * self._temperature
        return sharp

    def with_mass(self, afters: Sequence[After], plays: Sequence[EarlierPlays | None] | None = None) -> list[WithMass]:
        """Return the candidates that heads give mass after each session. `plays`: what each listener played before."""
        near = self._of_neighbours(afters)
        return [
            WithMass.joined(
                [*self._followers(after), self._session_tracks(after), others, *self._repeated(after, played)]
            )
            for after, others, played in zip(afters, near, plays or [None] * len(afters), strict=True)
        ]

    def _repeated(self, after: After, plays: EarlierPlays | None) -> list[WithMass]:
        repeats = self._export.repeats
        if repeats is None:
            return []
        return [
            self._of(part) for part in repeated(repeats, after.state, (after.rows, after.feedback), plays or NO_PLAYS)
        ]

    def _of(self, played: PlayedMass) -> WithMass:
        """Return the part of the mass that candidates get."""
        may = self.is_candidate[played.rows]
        rows = played.rows[may]
        return WithMass(rows, np.zeros(len(rows), np.int32), played.log_mass[may], np.zeros(len(rows), np.bool_))

    def _of_neighbours(self, afters: Sequence[After]) -> list[WithMass]:
        """Return the tracks of the neighbours of each session; those of all sessions are looked for together."""
        index, mass = self._export.neighbours, self._export.manifest.facts.neighbour_mass
        if index is None or not afters:
            return [NONE] * len(afters)
        tracks = np.array([row for after in afters for row in after.rows], np.int64)
        shares = neighbour_shares(index, FlatSessions(tracks, starts(np.array([len(after.rows) for after in afters]))))
        may = self.is_candidate[shares.track]
        session, track, log_share = shares.session[may], shares.track[may], shares.log_share[may]
        order = np.lexsort((track, session))
        rows, log_mass = track[order].astype(np.int32), log_share[order] + math.log(mass)
        bounds = np.searchsorted(session, np.arange(len(afters) + 1)).tolist()
        zeros = np.zeros(len(rows), np.int32)
        return [
            WithMass(rows[low:high], zeros[low:high], log_mass[low:high], zeros[low:high] > 0)
            for low, high in itertools.pairwise(bounds)
        ]

    def _session_tracks(self, after: After) -> WithMass:
        rows = np.array(after.rows, np.int32)
        may = self.is_candidate[rows]
        if not self._copying or not may.any():
            return NONE
        ask, by_age, by_feedback = self._copying
        age = np.arange(len(rows) - 1, -1, -1).clip(max=len(by_age) - 1)
        query = np.vecdot(ask, after.state.astype(np.float64))
        score = np.vecdot(self._table[rows].astype(np.float64), query) + by_age[age] + by_feedback[list(after.feedback)]
        distinct, row_index = np.unique(rows[may], return_inverse=True)
        mass = np.full(len(distinct), -np.inf)
        np.logaddexp.at(mass, row_index, score[may])
        return WithMass(distinct, np.zeros(len(distinct), np.int32), mass, np.ones(len(distinct), np.bool_))

    def _followers(self, after: After) -> Iterator[WithMass]:
        """Yield what followed the last one, two and three tracks."""
        transitions, number = self._export.transitions, after.rows[-1] if after.rows else 0
        if transitions is None or number == 0:
            return
        state = after.state.astype(np.float64)
        for order, successors in enumerate(transitions.orders, 1):
            if order > 1:
                number = self._sequence(successors, number, after.rows, order)
            if number < 0:
                break
            part = slice(int(successors.begin[number]), int(successors.begin[number + 1]))
            rows, times = np.asarray(successors.tracks[part]), np.asarray(successors.times[part])
            followed = int(times.sum())
            if followed == 0:
                continue
            gate = transitions.gate[order - 1].astype(np.float64)
            opened = state @ gate[:-2] + gate[-2] * np.log1p(followed) + gate[-1]
            ranked = self.is_candidate[rows]
            mass = opened + np.log(times[ranked] / followed)
            counted = times[ranked] if order == 1 else np.zeros(len(mass), np.int32)
            yield WithMass(rows[ranked], counted, mass, np.zeros(len(mass), np.bool_))

    def _sequence(self, successors: Successors, number: int, rows: Sequence[int], order: int) -> int:
        """Return the number of the sequence of the last `order` tracks; -1 = it was not counted.

        `number`: that of the sequence of one track less.
        """
        if len(rows) < order or len(successors.keys) == 0:
            return -1
        key = number * len(self._table) + rows[-order]
        index = int(np.searchsorted(successors.keys, key))
        return index if index < len(successors.keys) and successors.keys[index] == key else -1

    @cached_property
    def is_trained(self) -> NDArray[np.bool_]:
        """Return which table rows may be ranked by the encoder's score alone, bool [V + 3]."""
        is_trained = np.zeros(len(self._table), np.bool_)
        is_trained[self._export.scan_order] = True
        is_trained[0] = False
        return is_trained

    @cached_property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Return which table rows may be ranked, at least where heads give them mass, bool [V + 3]."""
        is_candidate = self.is_trained.copy()
        if self._export.untrained is not None:
            is_candidate[self._export.untrained] = True
        return is_candidate

    def of(self, after: After, rows: Int[np.ndarray, " n"], with_mass: WithMass, plays: EarlierPlays | None) -> Scored:
        """Return the scores of `rows`, distinct and ascending. `plays`: what the listener played before."""
        encoder, *listen = self._products(rows, [self.sharpened(after.state), after.direction])
        log_next = encoder.astype(np.float64)
        if self._export.untrained is not None:
            log_next[~self.is_trained[rows]] = -np.inf
        if len(with_mass.rows):
            index = np.searchsorted(with_mass.rows, rows).clip(max=len(with_mass.rows) - 1)
            has_mass = with_mass.rows[index] == rows
            mass = np.where(has_mass, with_mass.mass[index], -np.inf)
            log_next = np.logaddexp(np.where(has_mass & with_mass.alone[index], -np.inf, log_next), mass)
        if not listen:
            return Scored(rows, log_next.astype(np.float32), log_next, None)
        offset = self._export.listen_offset
        assert offset is not None, "an export has both or neither"
        logit = listen[0] + (np.float32(after.level) + offset[rows] + self._own_part(after, rows, plays or NO_PLAYS))
        log_listen = -np.logaddexp(0.0, -logit.astype(np.float64))
        score = (log_next + self.listen_weight * log_listen).astype(np.float32)
        return Scored(rows, score, log_next, log_listen)

    def _own_part(
        self, after: After, rows: Int[np.ndarray, " n"], plays: EarlierPlays
    ) -> Float[np.ndarray, " n"] | np.float32:
        """Return what the listener's own plays of `rows` add to the logit of P(listen): see `ListenHead`."""
        facts = self._export.manifest.facts
        if facts.own_listens == facts.own_skips == 0.0 or len(rows) == 0:
            return np.float32(0.0)
        times = np.zeros((len(rows), 2), np.int64)
        now = listened_or_skipped(self._export, np.array(after.feedback, np.int64))
        for played, counts in ((plays.tracks, plays.times), (np.array(after.rows, np.int32), now)):
            index = np.searchsorted(rows, played).clip(max=len(rows) - 1)
            same = rows[index] == played
            np.add.at(times, index[same], counts[same])
        part: NDArray[np.float64] = np.log1p(times) @ np.array([facts.own_listens, facts.own_skips])
        return part.astype(np.float32)

    def _products(
        self, rows: Int[np.ndarray, " n"], vectors: Sequence[NDArray[np.float32] | None]
    ) -> NDArray[np.float32]:
        """Return the dot products of each vector that there is with each row, [number of vectors, n].

        Not by `@`: BLAS would split even so little work among threads, and spin while it waits for them.
        """
        doubles = [vector.astype(np.float64) for vector in vectors if vector is not None]
        products = np.empty((len(doubles), len(rows)), np.float32)
        for begin in range(0, len(rows), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            values = self._table[rows[part]].astype(np.float64)
            for i, vector in enumerate(doubles):
                products[i, part] = np.vecdot(values, vector)
        return products
