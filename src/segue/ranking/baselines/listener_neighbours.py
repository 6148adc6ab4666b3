"""Item k-NN over listeners: tracks that the same listeners play, as Yambda's benchmark has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue import skips
from segue.batch import Batch
from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.batches.session_numbers import SESSION_NUMBER
from segue.config import Config, Positive
from segue.neighbours.sparse_scores import spread
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows
from segue.store import NUM_SPECIALS

STEPS: Final = 2.0**40
"""Steps of a score between 0 and the best one of a session: scores are whole numbers."""
LEAST: Final = 1e-9
"""Weights below this are 0."""


@dataclass(frozen=True)
class ListenerNeighboursConfig(Config):
    """Options of item k-NN over listeners."""

    half_life: Positive = 1.0
    """Days in which the weight of a play of the listener falls by half."""


class ListenerNeighbours(Baseline):
    """Item k-NN over listeners (Ploshkin et al. 2025), then popularity; for stores with listeners and times.

    x_t = how often each listener listened to track t in training; score(t) = sum over the listener's own plays of
    2^(-age / half-life) x_track . x_t / |x_t|. So a track is near itself, too, and what was played lately counts. Plays
    are those listened to before the session (`Split.readable`) and in it; the age is in days before the session began.
    We differ from the benchmark in the ages: there they count from the listener's last play.
    """

    name = "item-knn-listeners"
    config_type = ListenerNeighboursConfig
    grid: ClassVar[Grid] = {"half_life": (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)}

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        super().__init__(data, config)
        self._plays, self._near = data.table(("listeners",), lambda: _plays_and_near(data))

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether it is known who listened when."""
        return data.earlier_at is not None and data.listener is not None

    def _session_scores(self, batch: Batch) -> Any:
        number = batch.session_side.get(SESSION_NUMBER)
        if number is None:
            return None
        weights = self._weights(batch, number.cpu().numpy())
        scores = ((weights @ self._plays) @ self._near).tocsr()
        best = scores.max(axis=1).toarray()[:, 0]
        scale = np.divide(STEPS, best, out=np.zeros(len(best)), where=best > 0)
        scores.data = np.rint(scores.data * np.repeat(scale, np.diff(scores.indptr)))
        return scores

    def _weights(self, batch: Batch, session: NDArray[np.int64]) -> Any:
        """Return the weight of each track in the plays of each listener, sparse CSR [B, R]."""
        earlier, at, begins = self._data.earlier, self._data.earlier_at, self._data.begins
        assert earlier is not None
        assert at is not None
        assert begins is not None
        counts = earlier.end[session] - earlier.begin[session]
        place = spread(earlier.begin[session], counts)
        who = np.repeat(np.arange(len(session)), counts)
        age = (begins[session][who] - at[place]) / SECONDS_OF_A_DAY
        weight = np.exp2(-np.maximum(age, 0.0) / self.config.half_life) * self._data.earlier_listened[place]
        tracks = batch.tracks.cpu().numpy()
        now = np.asarray(skips.listened(batch.feedback.cpu().numpy(), self._data.skip_at_least)) & (
            tracks >= NUM_SPECIALS
        )
        rows = np.concatenate([who[weight > LEAST], batch.session.cpu().numpy()[now]])
        columns = np.concatenate([self._data.earlier_tracks[place][weight > LEAST], tracks[now]])
        values = np.concatenate([weight[weight > LEAST], np.ones(int(now.sum()))])
        return sparse.csr_matrix((values, (rows, columns)), shape=(len(session), len(self._shared)))


def _plays_and_near(data: TrainingRows) -> tuple[Any, Any]:
    """Return x by track and listener [R, listeners], and x / |x| by listener and track [listeners, R]."""
    matrix = data.listens_by_listener().astype(np.float64)
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros(len(norm)), where=norm > 0)
    return matrix.T.tocsr(), (matrix @ sparse.diags(scale)).tocsr()
