"""The causal encoder (SASRec-like): position i sees positions <= i and predicts the track at i + 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from segue.axes import Float
from segue.encoders.blocks import TransformerConfig
from segue.encoders.transformer import TransformerEncoder, last_place, most_recent
from segue.session_batch import SessionBatch


@dataclass(frozen=True)
class CausalConfig(TransformerConfig):
    """A transformer that looks back only (Kang & McAuley 2018; Seshadri & Knees 2023)."""

    unknown_share: float = 0.0
    """Share of inputs that training reads as UNKNOWN, so that a track without a row of its own has one that is
    trained; what was heard there stays a target and a track of its session."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.unknown_share < 1:
            raise ValueError("unknown_share must lie in [0, 1)")


class CausalEncoder(TransformerEncoder):
    """Position i sees positions <= i."""

    masked = False
    causal = True

    def next_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last valid track (of its most recent `max_len`)."""
        recent = most_recent(batch, self.max_len)
        return self.state_at(recent, last_place(recent.valid))
