"""What evaluation and serving ask of anything that ranks tracks: the neural model and every baseline alike."""

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
        """Whether the feedback of a context can change a score; where not, a skip moves nothing."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row (track rows >= 3) for its session; higher is better."""

    def score_all(self, batch: Batch) -> Float[Tensor, "B R"]:
        """Return scores of all R = V + 3 table rows; -inf at specials and at rows that are no candidates."""

    def stand(self, batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return where `tracks` stand among all candidates after each session, and the `k` best candidates.

        What `dense_standing` finds in `score_all`, at a cost that does not hold all scores.
        """
