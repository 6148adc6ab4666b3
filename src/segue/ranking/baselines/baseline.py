"""What all baselines share: a score of the session on top of popularity.

A score is an integer (the baseline's own score) plus popularity / (largest popularity + 1), below 1, in float64. So
the order is lexicographic, and tracks with an own score of 0 are ranked by popularity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.session_numbers import SESSION_NUMBER
from segue.config import Config
from segue.neighbours.sparse_scores import QUANTUM, FlatSessions, SparseScores
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.baselines.tuning_record import Tuning
from segue.ranking.shared_order import SharedOrder, values_at
from segue.ranking.standing import Standing

Grid = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class NoOptions(Config):
    """Options of a baseline without any."""


class Baseline:
    """A baseline: a score of each row shared by all sessions, plus a score that depends on the session.

    Args:
        data: the training rows.
        config: its options, a `config_type`; None = the defaults.
    """

    name: ClassVar[str]
    reads_feedback: ClassVar[bool] = False
    config_type: ClassVar[type[Config]] = NoOptions
    grid: ClassVar[Grid] = {}
    """Values of each option that are tried on validation targets."""
    starts: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    """Where the search begins: options that differ from the defaults."""

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        self.config: Any = self.config_type() if config is None else config
        self._shared = data.counts / (data.counts.max() + 1.0)
        """Popularity below 1, plus integers that are the same for all sessions, float64 [R]."""
        self.tuning: Tuning | None = None
        """How the options were chosen; None = they are the defaults, or were given."""
        self._candidates = data.candidates
        self._data = data

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether the training rows say what the baseline needs."""
        return True

    def _session_scores(self, batch: Batch) -> Any:
        """Return the session-dependent scores: integers >= 0, sparse CSR [B, R]; None for all 0."""
        return None

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session, float64."""
        return self._scores_of(candidates, self._session_scores(batch)).to(candidates.device)

    def stand(
        self, batch: Batch, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None
    ) -> Standing:
        """Return the standing of `tracks` among all candidates, the `k` best, and the scores of `scored`."""
        added = self._session_scores(batch)
        standing = self._order.stand(added, tracks.cpu().numpy(), k)
        if scored is not None:
            standing = replace(standing, scored=self._scores_of(scored, added))
        return standing.to(batch.tracks.device)

    def _scores_of(self, tracks: Int[Tensor, "B K"], added: Any) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`, given those of their sessions, float64, on the CPU."""
        rows = tracks.cpu().numpy()
        return torch.from_numpy(self._shared[rows] if added is None else values_at(added, rows) + self._shared[rows])

    @cached_property
    def _order(self) -> SharedOrder:
        return SharedOrder(self._shared, self._candidates)

    def _matrix(self, scores: SparseScores, num: int) -> Any:
        """Return the scores of `num` sessions in quanta, sparse CSR [B, R]."""
        begin = np.searchsorted(scores.session, np.arange(num + 1))
        data = np.rint(scores.value * QUANTUM)
        return sparse.csr_matrix((data, scores.track.astype(np.int32), begin), shape=(num, len(self._shared)))

    def _own_number(self, batch: Batch) -> NDArray[np.int64] | None:
        """Return the number of each session's own training part, -1 without one, [B]; None = not known."""
        number = batch.session_side.get(SESSION_NUMBER)
        return None if number is None else self._data.training_number(number.cpu().numpy())


def flat_sessions(batch: Batch) -> FlatSessions:
    """Return the sessions of a batch."""
    offsets = batch.offsets.cpu().numpy().astype(np.int64)
    return FlatSessions(batch.tracks.cpu().numpy()[: offsets[-1]].astype(np.int64), offsets)


def last_track(batch: Batch) -> NDArray[np.int64]:
    """Return the last track of each session (UNKNOWN or PAD rows included), [B]."""
    return batch.tracks[batch.last].cpu().numpy()
