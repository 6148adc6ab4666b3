"""The interface of everything that ranks tracks: models and baselines."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.ranking.standing import Standing


@runtime_checkable
class Scorer(Protocol):
    """Scores tracks as the next one after each session of a batch (contexts, right-padded, true strengths)."""

    @property
    def name(self) -> str:
        """Name in tables: 'model', 'popularity', 'repeat-last', 'markov', 'v-sknn', 'listen-rate'."""

    @property
    def reads_feedback(self) -> bool:
        """Whether the feedback of a context can change a score."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row (>= NUM_SPECIALS) for its session; higher is better."""

    def score_all(self, batch: Batch) -> Float[Tensor, "B R"]:
        """Return scores of all R = V + NUM_SPECIALS table rows; -inf at rows that are not candidates."""

    def stand(self, batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return the standing of `tracks` among all candidates after each session, and the `k` best candidates.

        Equals `dense_standing` of `score_all`, without all scores in memory.
        """
