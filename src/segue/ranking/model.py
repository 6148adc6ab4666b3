"""A trained encoder as a scorer."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.encoders.encoder import Encoder
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.dots import all_dots, dots
from segue.ranking.scan import stand
from segue.ranking.standing import Standing
from segue.session_batch import SessionBatch


class ModelScorer:
    """Scores are dot products of the encoder's next state with rows of its track table (see `dots`).

    The encoder must not change while a scorer of it is in use.
    """

    name = "model"

    def __init__(self, encoder: Encoder, candidates: NDArray[np.int32]) -> None:
        self.encoder = encoder.eval()
        self.reads_feedback = "feedback" in encoder.inputs
        self._weight = encoder.table.weight.detach()
        self._candidates = torch.as_tensor(candidates.astype(np.int64), device=self._weight.device)

    @torch.no_grad()
    def score(self, batch: SessionBatch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session."""
        return dots(self._weight, self.encoder.next_state(batch), candidates)

    @torch.no_grad()
    def score_all(self, batch: SessionBatch) -> Float[Tensor, "B R"]:
        """Return scores of all table rows, -inf at rows that are no candidates."""
        scores = all_dots(self._weight, self.encoder.next_state(batch))
        refused = torch.ones(len(self._weight), dtype=torch.bool, device=self._weight.device)
        refused[self._candidates] = False
        return scores.masked_fill_(refused, float("-inf"))

    @torch.no_grad()
    def stand(self, batch: SessionBatch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return where `tracks` stand among all candidates, and the `k` best."""
        return stand(self._table, self.encoder.next_state(batch), tracks, k)

    @cached_property
    def _table(self) -> CandidateTable:
        return CandidateTable(self._weight, self._candidates)
