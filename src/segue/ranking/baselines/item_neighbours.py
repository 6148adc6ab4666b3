"""Item k-NN: tracks of the same training sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from segue.batch import Batch
from segue.config import Config, Count, NotNegative, Positive
from segue.neighbours.sparse_scores import FlatSessions, starts
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.rules_index import RulesIndex

SIMILAR: Final = 100
"""Most similar tracks of a track; the published default."""
LONGEST: Final = 50
"""Most distinct tracks of a training session between two that occur together."""


@dataclass(frozen=True)
class ItemNeighboursConfig(Config):
    """Options of item k-NN."""

    smoothing: NotNegative = 20.0
    """Sessions added to those of each track in the cosine; the published default is 20."""
    lasts: Count = 1
    """Last positions of the session whose similar tracks count."""
    fade: Positive = 1.0
    """Positions over which the weight of their similar tracks falls by e."""


class ItemNeighbours(Baseline):
    """Item k-NN on sessions (Hidasi et al. 2016), then popularity.

    similarity(a, b) = n(a, b) / sqrt((n(a) + smoothing) (n(b) + smoothing)), a != b, n = training sessions with the
    tracks; score(t) = sum over the last positions of exp(-(step - 1) / fade) similarity(track there, t). As published:
    lasts = 1.
    """

    name = "item-knn"
    config_type = ItemNeighboursConfig
    grid: ClassVar[Grid] = {"smoothing": (0.0, 5.0, 20.0, 100.0), "lasts": (1, 2, 5, 20), "fade": (0.5, 1.0, 2.0, 5.0)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        smoothing = self.config.smoothing
        self._similar: RulesIndex = data.table(("similar", smoothing), lambda: similar_tracks(data, smoothing))

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        step = sessions.step
        weights = np.where(step <= self.config.lasts, np.exp(-(step - 1) / self.config.fade), 0.0)
        return self._matrix(self._similar.scores(sessions, weights), len(sessions))


def similar_tracks(data: TrainingRows, smoothing: float) -> RulesIndex:
    """Return the SIMILAR most similar tracks of each track."""
    session, track, _ = data.sessions.last_occurrences()
    distinct = FlatSessions(track, starts(np.bincount(session, minlength=len(data.sessions))))
    support = np.bincount(track, minlength=len(data.counts)) + smoothing
    scale = np.divide(1.0, np.sqrt(support), out=np.zeros(len(support)), where=support > 0)
    return RulesIndex.of(distinct, len(data.counts), np.ones(LONGEST), SIMILAR, both_ways=True, scale=scale)
