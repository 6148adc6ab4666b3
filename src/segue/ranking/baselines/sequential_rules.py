"""Sequential rules: what comes within a few positions of the last tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from segue.batch import Batch
from segue.config import Config, Count, Positive
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.rules_index import RulesIndex


@dataclass(frozen=True)
class RulesConfig(Config):
    """Options of sequential rules."""

    steps: Count = 5
    """Most positions between the two tracks of a pair."""
    weight: Literal["1/d", "1/d2", "same"] = "1/d"
    """Weight of a pair d positions apart."""
    lasts: Count = 1
    """Last positions of the session whose rules count."""
    fade: Positive = 1.0
    """Positions over which the weight of their rules falls by e."""
    shares: bool = True
    """Whether the rules of a track are divided by their sum."""


class SequentialRules(Baseline):
    """Sequential rules (Ludewig & Jannach 2018, section 3.2.2), then popularity.

    score(t) = sum over the last positions of exp(-(step - 1) / fade) weight(track there -> t); see `RulesIndex.of`. As
    published: lasts = 1, weight 1/d.
    """

    name = "sequential-rules"
    config_type = RulesConfig
    grid: ClassVar[Grid] = {
        "weight": ("1/d", "1/d2", "same"),
        "steps": (2, 3, 5, 10, 20),
        "lasts": (1, 2, 5),
        "fade": (0.3, 0.5, 1.0, 2.0),
        "shares": (True, False),
    }

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        steps, weight = self.config.steps, self.config.weight
        distance = np.arange(1.0, steps + 1)
        by_distance = {"1/d": 1 / distance, "1/d2": distance**-2.0, "same": np.ones(steps)}[weight]
        self._rules: RulesIndex = data.table(
            ("rules", steps, weight), lambda: RulesIndex.of(data.sessions, len(data.counts), by_distance)
        )

    def _session_scores(self, batch: Batch) -> Any:
        sessions = flat_sessions(batch)
        step = sessions.step
        weights = np.where(step <= self.config.lasts, np.exp(-(step - 1) / self.config.fade), 0.0)
        return self._matrix(self._rules.scores(sessions, weights, shares=self.config.shares), len(sessions))
