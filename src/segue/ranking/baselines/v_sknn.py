"""V-SKNN: the tracks of the most similar training sessions."""

from __future__ import annotations

from typing import Any, ClassVar

from segue.batch import Batch
from segue.neighbours.session_neighbours import VsknnConfig, vsknn_scores
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions


class Vsknn(Baseline):
    """V-SKNN as published (Ludewig & Jannach 2018), see `vsknn_scores`, then popularity.

    A session's own training part is no neighbour.
    """

    name = "v-sknn"
    config_type = VsknnConfig
    grid: ClassVar[Grid] = {
        "heard": (True, False),
        "neighbours": (20, 50, 100, 200, 500),
        "recent": (500, 1000, 2000),
        "decay": ("linear", "harmonic", "quadratic", "log", "same"),
    }

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        scores = vsknn_scores(self._data.session_index, sessions, self.config, self._own_number(batch))
        return self._matrix(scores, len(sessions))
