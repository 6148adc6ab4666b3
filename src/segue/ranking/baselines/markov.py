"""What followed the last tracks together, backing off to what followed fewer of them, then to popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np

from segue.batch import Batch
from segue.config import Config, Limit, Positive
from segue.neighbours.sparse_scores import summed
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.context_index import ContextIndex
from segue.ranking.rules_index import RulesIndex

MOST_TRANSITIONS: Final = 1000
"""Most tracks that may follow a track."""
ORDERS: Final = (1, 2, 3)


@dataclass(frozen=True)
class MarkovConfig(Config):
    """Options of Markov chains."""

    order: Annotated[int, Limit("1, 2 or 3", ORDERS.__contains__)] = 1
    """Most tracks that decide what follows."""
    prior: Positive = 1.0
    """Plays that the lower orders count for beside those of an order; near 0 = lexicographic."""


class Markov(Baseline):
    """Transitions counted in training parts, then popularity.

    p_k(t) = (c_k(t) + prior p_{k-1}(t)) / (n_k + prior), c_k = how often t followed the last k tracks, n_k = how often
    anything did, p_0 = 0; score(t) = p_order(t): back-off by a Dirichlet prior (MacKay & Peto 1995, equation 14).
    """

    name = "markov"
    config_type = MarkovConfig
    grid: ClassVar[Grid] = {"order": ORDERS, "prior": (0.01, 0.3, 1.0, 3.0, 10.0)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        rows = len(data.counts)
        self._first: RulesIndex = data.table(
            ("transitions",), lambda: RulesIndex.of(data.sessions, rows, np.ones(1), MOST_TRANSITIONS)
        )
        self._higher = [self._contexts(order) for order in range(2, self.config.order + 1)]

    def _contexts(self, order: int) -> ContextIndex:
        data = self._data
        index: ContextIndex = data.table(
            ("contexts", order), lambda: ContextIndex.of(data.sessions, len(data.counts), order)
        )
        return index

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        remaining, parts = np.ones(len(sessions)), []
        for index in reversed(self._higher):
            context = index.contexts(sessions)
            plays = index.plays(context)
            share = plays / (plays + self.config.prior)
            session, track, value = index.following(context)
            parts.append((session, track, value * (remaining * share)[session]))
            remaining = remaining * (1 - share)
        last = np.where(sessions.step == 1, remaining[sessions.session], 0.0)
        first = self._first.scores(sessions, last, shares=True)
        parts.append((first.session, first.track, first.value))
        return self._matrix(summed(*(np.concatenate(some) for some in zip(*parts, strict=True))), len(sessions))
