"""Popularity of late: plays of the last days of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.config import Config, Count
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows


@dataclass(frozen=True)
class RecentPopularityConfig(Config):
    """Options of recent popularity."""

    days: Count = 30
    """Days before the end of training whose plays count."""


class RecentPopularity(Baseline):
    """Plays of sessions that began in the last days of training, then popularity; for stores with times or dates."""

    name = "recent-popularity"
    config_type = RecentPopularityConfig
    grid: ClassVar[Grid] = {"days": (1, 3, 7, 14, 30, 90, 365)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        assert data.began is not None
        late = data.began > data.began.max() - self.config.days * SECONDS_OF_A_DAY
        self._shared = np.bincount(data.tracks[late[data.session]], minlength=len(data.counts)) + self._shared

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether it is known when sessions began."""
        return data.began is not None
