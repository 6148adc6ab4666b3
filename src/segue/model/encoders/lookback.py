"""What the encoders without attention share: they read padded sessions and have no learned positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.model.encoders.encoder import Encoder


@dataclass(frozen=True)
class LookbackConfig:
    """What all of them have."""

    width: int = 128
    """D, of rows and states."""
    dropout: float = 0.2
    """Share of values dropped in training."""

    position: ClassVar[str] = "literal"
    """They have no learned positions, so training shifts none."""
    replaced_share: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in [0, 1)")


class LookbackEncoder(Encoder, ABC):
    """Position i sees the table rows of positions <= i and predicts the track at i + 1.

    Subclasses read every session from its first track on, with zero rows after its last; they put zeros before the
    first themselves.
    """

    masked = False

    def states(self, batch: Batch, rows: Float[Tensor, "P D"]) -> Float[Tensor, "N D"]:
        """Return y_hat at each position. `rows`: the table rows of the positions."""
        source, inside = batch.cells
        padded = rows[: len(batch.tracks)][source] * inside[:, :, None]
        return self.padded_states(padded).flatten(0, 1).index_select(0, batch.slot)

    @abstractmethod
    def padded_states(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""

    def next_state(self, batch: Batch) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last position (of its most recent `max_len`)."""
        recent = batch.recent(self.max_len)
        states: Tensor = self(recent)
        return states[recent.last]

    def padded_next_state(
        self,
        rows: Float[Tensor, "B L D"],
        feedback: Int[Tensor, "B L"],
        valid: Bool[Tensor, "B L"],
        mask_row: Float[Tensor, " D"],
    ) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last valid track."""
        states = self.padded_states(rows * valid[:, :, None])
        return states[torch.arange(states.shape[0], device=states.device), (valid.sum(dim=1) - 1).clamp(min=0)]
