"""What followed the last two tracks, backing off to what followed the last one, then to popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from segue.batch import Batch
from segue.config import Config, Limit, Positive
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.rules_index import RulesIndex
from segue.ranking.sparse_scores import FlatSessions, bits, firsts, mask, spread, starts, summed

MOST_TRANSITIONS: Final = 1000
"""Most tracks that may follow a track."""


@dataclass(frozen=True)
class MarkovConfig(Config):
    """Options of Markov chains."""

    order: Annotated[int, Limit("1 or 2", (1, 2).__contains__)] = 1
    """Tracks that decide what follows."""
    prior: Positive = 1.0
    """Plays that the first order counts for beside those of the second; near 0 = lexicographic."""


class Markov(Baseline):
    """Transitions counted in training parts, then popularity.

    score(t) = n / (n + prior) p(t | last two) + prior / (n + prior) p(t | last), n = how often something followed the
    last two; interpolation as Jelinek and Mercer do (1980), with the weight of a Dirichlet prior (MacKay & Peto 1995).
    """

    name = "markov"
    config_type = MarkovConfig
    grid: ClassVar[Grid] = {"order": (1, 2), "prior": (0.01, 1.0, 3.0, 10.0, 30.0)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        rows = len(data.counts)
        self._first: RulesIndex = data.table(
            ("transitions",), lambda: RulesIndex.of(data.sessions, rows, np.ones(1), MOST_TRANSITIONS)
        )
        self._second: PairTransitions | None = None
        if self.config.order == 2:
            self._second = data.table(("pair transitions",), lambda: PairTransitions.of(data.sessions, rows))

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        last = (sessions.step == 1).astype(np.float64)
        if self._second is None:
            return self._matrix(self._first.scores(sessions, last, shares=True), len(sessions))
        context = self._second.contexts(sessions)
        plays = self._second.plays(context)
        share = plays / (plays + self.config.prior)
        first = self._first.scores(sessions, last * (1 - share)[sessions.session], shares=True)
        session, track, value = self._second.following(context)
        value = value * share[session]
        both = summed(
            np.concatenate([first.session, session]),
            np.concatenate([first.track, track]),
            np.concatenate([first.value, value]),
        )
        return self._matrix(both, len(sessions))


@dataclass(frozen=True)
class PairTransitions:
    """What followed each pair of consecutive tracks."""

    pairs: NDArray[np.int64]
    """Keys of the pairs, ascending."""
    offsets: NDArray[np.int64]
    after: NDArray[np.int32]
    """Tracks that followed pair i: after[offsets[i]:offsets[i + 1]], ascending."""
    count: NDArray[np.int32]
    """How often."""
    total: NDArray[np.int64]
    """How often something followed, by pair."""
    rows: int
    """Bits of a table row."""

    @classmethod
    def of(cls, sessions: FlatSessions, num_rows: int) -> PairTransitions:
        """Return what followed in training sessions; their tracks are below `num_rows`."""
        rows = bits(num_rows)
        middle = np.flatnonzero((sessions.step > 1)[1:] & (sessions.session[1:] == sessions.session[:-1])) + 1
        key = (sessions.tracks[middle - 1] << rows) | sessions.tracks[middle]
        pairs, number = np.unique(key, return_inverse=True)
        cell = np.sort((number << rows) | sessions.tracks[middle + 1])
        first = np.flatnonzero(firsts(cell))
        count = np.diff(np.append(first, len(cell)))
        offsets = starts(np.bincount(cell[first] >> rows, minlength=len(pairs)))
        after = (cell[first] & mask(rows)).astype(np.int32)
        return cls(pairs, offsets, after, count.astype(np.int32), np.bincount(number, minlength=len(pairs)), rows)

    def contexts(self, sessions: FlatSessions) -> NDArray[np.int64]:
        """Return the index of the last two tracks of each session in `pairs`, -1 if they are not there, [B]."""
        last = sessions.offsets[1:] - 1
        known = (sessions.lengths > 1) & (len(self.pairs) > 0)
        key = np.full(len(sessions), -1)
        key[known] = (sessions.tracks[last[known] - 1] << self.rows) | sessions.tracks[last[known]]
        index = np.minimum(np.searchsorted(self.pairs, key), max(len(self.pairs) - 1, 0))
        known[known] = self.pairs[index[known]] == key[known]
        return np.where(known, index, -1)

    def plays(self, context: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often something followed each context, [B]."""
        if len(self.total) == 0:
            return np.zeros(len(context), np.int64)
        return np.where(context >= 0, self.total[context], 0)

    def following(self, context: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return session, track and p(track | context) of what followed, by session and track."""
        counts = np.where(context >= 0, self.offsets[context + 1] - self.offsets[context], 0)
        index = spread(self.offsets[np.maximum(context, 0)], counts)
        session = np.repeat(np.arange(len(context)), counts)
        return session, self.after[index].astype(np.int64), self.count[index] / self.plays(context)[session]
