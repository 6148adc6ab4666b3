"""Factors of listeners and tracks by the library `implicit`, an extra: iALS and BPR."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.session_numbers import SESSION_NUMBER
from segue.config import Config, Count, NotNegative, Positive
from segue.ranking import block_standing
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.scores import Scores
from segue.ranking.standing import Standing

SEED: Final = 0
Factors = tuple[NDArray[np.float32], NDArray[np.float32]]


class FactorModel(Baseline):
    """A dot product of a factor of the listener and one of the track, fitted to the listens of training.

    A listener without any is shown popularity. Fitted once: what a listener played since training is not read.
    """

    def __init__(self, data: TrainingRows, config: Any = None) -> None:
        from threadpoolctl import threadpool_limits

        super().__init__(data, config)
        plays = data.listens_by_listener()
        with threadpool_limits(1, "blas"):  # the library asks for it: its own threads are faster
            listeners, tracks = self._fitted(plays)
        unknown = np.diff(plays.indptr) == 0
        listeners[unknown] = 0.0
        # one factor more: popularity for those of whom nothing is known
        self._listeners = torch.from_numpy(np.column_stack([listeners, unknown]).astype(np.float32))
        weight = np.column_stack([tracks, self._shared]).astype(np.float32)
        self._table = CandidateTable(torch.from_numpy(weight), torch.from_numpy(data.candidates.astype(np.int64)))

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether listeners are known, and the library is installed."""
        return data.listener is not None and find_spec("implicit") is not None

    @abstractmethod
    def _fitted(self, plays: Any) -> Factors:
        """Return the factors of listeners and tracks, by `plays`, sparse CSR [listeners, R]."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session, float32."""
        return self._scores(batch).exact(candidates.cpu()).to(candidates.device)

    def stand(
        self, batch: Batch, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None
    ) -> Standing:
        """Return the standing of `tracks` among all candidates, the `k` best, and the scores of `scored`."""
        on_cpu = None if scored is None else scored.cpu()
        return block_standing.stand(self._scores(batch), tracks.cpu(), k, on_cpu).to(batch.tracks.device)

    def _scores(self, batch: Batch) -> Scores:
        number, listener = batch.session_side.get(SESSION_NUMBER), self._data.listener
        if number is None or listener is None:
            state = torch.zeros((batch.num_sessions, self._listeners.shape[1]))
            state[:, -1] = 1.0
            return Scores(self._table, state)
        return Scores(self._table, self._listeners[torch.from_numpy(listener[number.cpu().numpy()])])


@dataclass(frozen=True)
class AlsConfig(Config):
    """Options of iALS."""

    factors: Count = 64
    iterations: Count = 15
    regularization: Positive = 0.01
    alpha: Positive = 1.0
    """Confidence of each listen; an unheard track has 1."""


class Als(FactorModel):
    """iALS: alternating least squares on counts of listens (Hu, Koren & Volinsky 2008), by `implicit`."""

    name = "ials"
    config_type = AlsConfig
    grid: ClassVar[Grid] = {
        "alpha": (0.03, 0.1, 1.0, 10.0),
        "regularization": (0.001, 0.01, 0.1, 1.0, 10.0),
        "factors": (64, 128),
        "iterations": (15, 50),
    }

    def _fitted(self, plays: Any) -> Factors:
        from implicit.cpu.als import AlternatingLeastSquares

        options = self.config
        model = AlternatingLeastSquares(
            options.factors, options.regularization, options.alpha, iterations=options.iterations, random_state=SEED
        )
        model.fit(plays, show_progress=False)
        return np.array(model.user_factors), np.array(model.item_factors)


@dataclass(frozen=True)
class BprConfig(Config):
    """Options of BPR."""

    factors: Count = 64
    iterations: Count = 100
    learning_rate: Positive = 0.01
    regularization: NotNegative = 0.01


class Bpr(FactorModel):
    """BPR: matrix factorisation by pairs of tracks (Rendle et al. 2009), by `implicit`, in one thread.

    More threads would overwrite each other's steps, so that no two fits were equal.
    """

    name = "bpr"
    config_type = BprConfig
    grid: ClassVar[Grid] = {
        "learning_rate": (0.003, 0.01, 0.03, 0.1),
        "regularization": (0.0, 0.001, 0.01, 0.1),
        "iterations": (30, 100, 300),
    }

    def _fitted(self, plays: Any) -> Factors:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        options = self.config
        model = BayesianPersonalizedRanking(
            options.factors,
            options.learning_rate,
            options.regularization,
            iterations=options.iterations,
            num_threads=1,
            random_state=SEED,
        )
        model.fit(plays, show_progress=False)
        return np.array(model.user_factors), np.array(model.item_factors)
