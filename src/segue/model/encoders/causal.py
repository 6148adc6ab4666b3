"""The causal encoder (SASRec-like): position i sees positions <= i and predicts the track at i + 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.model.encoders.blocks import TransformerConfig
from segue.model.encoders.transformer import TransformerEncoder


@dataclass(frozen=True)
class CausalConfig(TransformerConfig):
    """A transformer that looks back only (Kang & McAuley 2018; Seshadri & Knees 2023)."""

    kind: ClassVar[str] = "causal"
    unknown_share: float = 0.0
    """Share of positions at which training reads UNKNOWN in place of the track, so that UNKNOWN has a trained row for
    tracks without one. The track stays a target and a track of its session."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.unknown_share < 1:
            raise ValueError("unknown_share must lie in [0, 1)")

    @property
    def replaced_share(self) -> float:
        """Share of positions at which training reads a special row."""
        return self.unknown_share


class CausalEncoder(TransformerEncoder):
    """Position i sees positions <= i."""

    masked = False
    causal = True

    def next_state(self, batch: Batch) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last position (of its most recent `max_len`)."""
        recent = batch.recent(self.max_len)
        return self.state_at(recent, recent.last)

    def padded_next_state(
        self,
        rows: Float[Tensor, "B L D"],
        feedback: Int[Tensor, "B L"],
        valid: Bool[Tensor, "B L"],
        mask_row: Float[Tensor, " D"],
    ) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last valid track."""
        states = self.padded_states(rows, feedback, valid)
        return states[torch.arange(states.shape[0], device=states.device), (valid.sum(dim=1) - 1).clamp(min=0)]
