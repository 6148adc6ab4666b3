"""What the listener played before the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from segue.batch import Batch
from segue.batches.session_numbers import SESSION_NUMBER
from segue.config import Config, Count, NotNegative
from segue.neighbours.sparse_scores import SparseScores, blocks, spread, summed
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows

PLAYS_AT_ONCE: Final = 2**16
SESSIONS_AT_ONCE: Final = 256


@dataclass(frozen=True)
class OwnPlaysConfig(Config):
    """Options of the listener's own plays."""

    plays: Count = 1000
    """Most plays before the session that count, the last ones."""
    decay: NotNegative = 0.5
    """The play n plays ago counts n^-decay (Anderson & Schooler 1991); 0 = frequency alone."""


class OwnPlays(Baseline):
    """Frequency and recency of the listener's plays in sessions that began before (`Split.readable`), then popularity.

    score(t) = sum over those plays of t of n^-decay. For stores with listeners; of a batch that does not say which
    sessions it holds, nothing is known.
    """

    name = "own-plays"
    config_type = OwnPlaysConfig
    grid: ClassVar[Grid] = {"decay": (0.0, 0.25, 0.5, 0.75, 1.0), "plays": (100, 300, 1000, 3000)}

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether listeners are known."""
        return data.earlier is not None

    def _session_scores(self, batch: Batch) -> Any:
        number = batch.session_side.get(SESSION_NUMBER)
        if number is None:
            return None
        earlier, session = self._data.earlier, number.cpu().numpy()
        assert earlier is not None
        counts = np.minimum(earlier.end[session] - earlier.begin[session], self.config.plays)
        begin = earlier.end[session] - counts
        parts = list[tuple[int, SparseScores]]()
        for low, high in blocks(counts, PLAYS_AT_ONCE, SESSIONS_AT_ONCE):
            row = spread(begin[low:high], counts[low:high])
            who = np.repeat(np.arange(high - low), counts[low:high])
            ago = np.repeat(earlier.end[session[low:high]], counts[low:high]) - row
            parts.append((low, summed(who, self._data.earlier_tracks[row], ago**-self.config.decay)))
        return self._matrix(SparseScores.joined(parts), len(session))
