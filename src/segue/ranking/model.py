"""A trained encoder as a scorer."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.encoders.encoder import Encoder
from segue.session_batch import SessionBatch

DENSE: Final = 16
"""Up to so many times the candidates, scoring the whole table is faster than gathering rows of it."""


class ModelScorer:
    """Scores are dot products of the encoder's next state with rows of its track table."""

    name = "model"

    def __init__(self, encoder: Encoder, candidates: NDArray[np.int32]) -> None:
        self.encoder = encoder.eval()
        self.reads_feedback = "feedback" in encoder.inputs
        weight = encoder.table.weight
        self._refused = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
        self._refused[torch.as_tensor(candidates.astype(np.int64), device=weight.device)] = False

    @torch.no_grad()
    def score(self, batch: SessionBatch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session."""
        state = self.encoder.next_state(batch)
        if len(self._refused) <= DENSE * candidates.shape[1]:
            return (state @ self.encoder.table.weight.T).gather(1, candidates)
        return torch.einsum("bkd,bd->bk", self.encoder.rows(candidates), state)

    @torch.no_grad()
    def score_all(self, batch: SessionBatch) -> Float[Tensor, "B R"]:
        """Return scores of all table rows, -inf at rows that are no candidates."""
        scores = self.encoder.next_state(batch) @ self.encoder.table.weight.T
        return scores.masked_fill(self._refused, float("-inf"))
