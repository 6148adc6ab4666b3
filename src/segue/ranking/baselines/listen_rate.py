"""How often a track is listened to when it is played."""

from __future__ import annotations

from typing import Any

import numpy as np

from segue.neighbours.sparse_scores import QUANTUM
from segue.ranking.baselines.baseline import Baseline
from segue.ranking.baselines.training_rows import TrainingRows


class ListenRate(Baseline):
    """Smoothed share of a track's plays that were listened to, (listened + 2.5) / (plays + 5), then popularity."""

    name = "listen-rate"

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        self._shared = np.round(data.listen_rates() * QUANTUM) + self._shared
