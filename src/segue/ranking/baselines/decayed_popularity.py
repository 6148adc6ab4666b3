"""Popularity that decays: a play counts less the older it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.config import Config, Positive
from segue.neighbours.sparse_scores import QUANTUM
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows


@dataclass(frozen=True)
class DecayedPopularityConfig(Config):
    """Options of decayed popularity."""

    half_life: Positive = 7.0
    """Days in which the weight of a play falls by half."""


class DecayedPopularity(Baseline):
    """Plays, each weighed by 2^(-age / half-life), then popularity; for stores with times or dates.

    The age of a play is that of its session, in days before the last training session began. As in Yambda's benchmark
    (Ploshkin et al. 2025), whose weights are by the second.
    """

    name = "decayed-popularity"
    config_type = DecayedPopularityConfig
    grid: ClassVar[Grid] = {"half_life": (0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        assert data.began is not None
        age = (data.began.max() - data.began) / SECONDS_OF_A_DAY
        weight = np.exp2(-age / self.config.half_life)
        plays = np.bincount(data.tracks, weight[data.session], minlength=len(data.counts))
        self._shared = np.rint(plays * QUANTUM) + self._shared

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether it is known when sessions began."""
        return data.began is not None
