"""Exact scores of a few tracks after one session, from an export's arrays; the same as `segue.ranking.scores` gives.

    log( exp(T y . E[t]) + exp(h) p(t | last) ) + lambda log P(listen to t)

Dot products are summed in float64 and rounded to float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Float, Int
from segue.exported.folder import ExportFolder

_CHUNK: Final = 1 << 14
"""Rows multiplied at a time."""


@dataclass(frozen=True)
class After:
    """The outputs of the encoder and the heads after one session."""

    state: Float[np.ndarray, " D"]
    """y."""
    last: int
    """Table row of the last track; 0 = none."""
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
class Followers:
    """Tracks that followed the last one in training."""

    rows: Int[np.ndarray, " n"]
    """Ascending."""
    times: Int[np.ndarray, " n"]
    mass: Float[np.ndarray, " n"]
    """h + log p(row | last), float64."""


NOBODY = Followers(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float64))


class Scoring:
    """The scores of one export."""

    def __init__(self, export: ExportFolder) -> None:
        self._export = export
        self._table = export.table
        self._temperature = np.float32(export.manifest.facts.temperature)
        self.listen_weight = export.manifest.facts.listen_weight

    def sharpened(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return T y; its dot product with a row is the encoder's score."""
        sharp: NDArray[np.float32] = states * self._temperature
        return sharp

    def followers(self, after: After) -> Followers:
        """Return the candidates that followed the session's last track in training."""
        transitions = self._export.transitions
        if transitions is None or after.last == 0:
            return NOBODY
        part = slice(int(transitions.begin[after.last]), int(transitions.begin[after.last + 1]))
        rows, times = np.asarray(transitions.tracks[part]), np.asarray(transitions.times[part])
        followed = int(times.sum())
        if followed == 0:
            return NOBODY
        gate = transitions.gate.astype(np.float64)
        opened = after.state.astype(np.float64) @ gate[:-2] + gate[-2] * np.log1p(followed) + gate[-1]
        ranked = self.is_candidate[rows]
        rows, times = rows[ranked], times[ranked]
        return Followers(rows, times, opened + np.log(times / followed))

    @cached_property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Return which table rows may be ranked, bool [V + 3]."""
        is_candidate = np.zeros(len(self._table), np.bool_)
        is_candidate[self._export.scan_order] = True
        is_candidate[0] = False
        return is_candidate

    def of(self, after: After, rows: Int[np.ndarray, " n"], followers: Followers) -> Scored:
        """Return the scores of `rows`."""
        encoder, *listen = self._products(rows, [self.sharpened(after.state), after.direction])
        log_next = encoder.astype(np.float64)
        if len(followers.rows):
            index = np.searchsorted(followers.rows, rows).clip(max=len(followers.rows) - 1)
            mass = np.where(followers.rows[index] == rows, followers.mass[index], -np.inf)
            log_next = np.logaddexp(log_next, mass)
        if not listen:
            return Scored(rows, log_next.astype(np.float32), log_next, None)
        offset = self._export.listen_offset
        assert offset is not None, "an export has both or neither"
        logit = listen[0] + (np.float32(after.level) + offset[rows])
        log_listen = -np.logaddexp(0.0, -logit.astype(np.float64))
        score = (log_next + self.listen_weight * log_listen).astype(np.float32)
        return Scored(rows, score, log_next, log_listen)

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
