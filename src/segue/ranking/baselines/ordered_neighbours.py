"""Session neighbours that follow the session: what came next in similar training sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from segue.batch import Batch
from segue.neighbours.session_neighbours import OrderedConfig, ordered_scores
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions


class OrderedNeighbours(Baseline):
    """STAN (Garg et al. 2019) with what comes after alone, see `ordered_scores`, then popularity.

    A session's own training part is no neighbour.
    """

    name = "ordered-neighbours"
    config_type = OrderedConfig
    grid: ClassVar[Grid] = {
        "neighbours": (20, 50, 100, 200, 500),
        "fade": (0.3, 0.5, 1.0, 2.0, 4.0),
        "reach": (0.1, 0.3, 1.0, 2.0, 4.0),
        "recent": (500, 1000, 2000),
        "by_size": (True, False),
    }
    starts: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"neighbours": 50, "fade": 1.0, "reach": 0.3, "by_size": False},
    )

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        scores = ordered_scores(self._data.session_index, sessions, self.config, self._own_number(batch))
        return self._matrix(scores, len(sessions))
