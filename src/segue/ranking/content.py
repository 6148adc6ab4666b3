"""Baselines on the features of tracks, which can rank tracks that were never played."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.split import Split
from segue.batches.track_features import track_features
from segue.ranking.block_standing import stand
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.scorer import Scorer
from segue.ranking.scores import Scores
from segue.ranking.standing import Standing
from segue.store import Store

WIDTH: Final = 32
"""Features are padded with zeros to a multiple of this."""


class ContentBaseline(ABC):
    """Cosine of a track's features with those of the session."""

    name: ClassVar[str]
    reads_feedback: ClassVar[bool] = False

    def __init__(self, features: NDArray[np.float32], candidates: NDArray[np.int32]) -> None:
        """`features`: standardised, [V + 3, F]."""
        rows = torch.from_numpy(features)
        unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-8)
        unit = torch.nn.functional.pad(unit, (0, -unit.shape[1] % WIDTH))
        self._table = CandidateTable(unit, torch.from_numpy(candidates.astype(np.int64)))

    @abstractmethod
    def _state(self, unit: Float[Tensor, "R F"], batch: Batch) -> Float[Tensor, "B F"]:
        """Return the vector that tracks are compared with, from unit features of all tracks."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session."""
        return self._scores(batch).exact(candidates)

    def stand(
        self, batch: Batch, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None
    ) -> Standing:
        """Return the standing of `tracks` among all candidates, the `k` best, and the scores of `scored`."""
        return stand(self._scores(batch), tracks, k, scored)

    def _scores(self, batch: Batch) -> Scores:
        table, device = self._table, batch.tracks.device
        if table.weight.device != device:
            table = self._table = CandidateTable(table.weight.to(device), table.candidates.to(device))
        return Scores(table, self._state(table.weight, batch))


class NearestAudio(ContentBaseline):
    """Similarity to the last track."""

    name = "nearest-audio"

    def _state(self, unit: Float[Tensor, "R F"], batch: Batch) -> Float[Tensor, "B F"]:
        return unit[batch.tracks[batch.last]]


class FeatureMean(ContentBaseline):
    """Similarity to the mean of the session's tracks."""

    name = "feature-mean"

    def _state(self, unit: Float[Tensor, "R F"], batch: Batch) -> Float[Tensor, "B F"]:
        padded = batch.padded
        return unit[padded.tracks].sum(dim=1) / padded.valid.sum(dim=1, keepdim=True).clamp(min=1)  # row 0 is 0


CONTENT_BASELINES: Final[tuple[type[ContentBaseline], ...]] = (NearestAudio, FeatureMean)


def content_baselines(store: Store, split: Split) -> list[Scorer]:
    """Return the baselines on features; empty for a store without features."""
    features = track_features(store)
    return [] if features is None else [kind(features, split.candidates) for kind in CONTENT_BASELINES]
