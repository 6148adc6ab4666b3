"""The cloze encoder (BERT4Rec-like): every position sees all; MASK is what it predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Float
from segue.encoders.blocks import TransformerConfig
from segue.encoders.encoder import HIDDEN
from segue.encoders.transformer import TransformerEncoder, last_place, most_recent
from segue.session_batch import SessionBatch

MASK = 2
"""Table row of the masked track."""


@dataclass(frozen=True)
class ClozeConfig(TransformerConfig):
    """A transformer that looks both ways (Sun et al. 2019; Seshadri & Knees 2023)."""

    mask_share: float = 0.2
    """p, the share of tracks masked besides the last, drawn afresh for each batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mask_share < 1:
            raise ValueError("mask_share must lie in [0, 1)")


class ClozeEncoder(TransformerEncoder):
    """Every position sees every valid position."""

    masked = True
    causal = False

    def next_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        """Return y_hat at a MASK appended after each session's last track (of its most recent `max_len` - 1)."""
        asked = _with_mask(most_recent(batch, self.max_len - 1))
        states: Tensor = self(asked)
        return states[torch.arange(states.shape[0], device=states.device), last_place(asked.valid)]


def _with_mask(batch: SessionBatch) -> SessionBatch:
    """Return the batch one column longer, MASK standing after each session's last valid track."""
    tracks, feedback = functional.pad(batch.tracks, (0, 1)), functional.pad(batch.feedback, (0, 1), value=HIDDEN)
    valid = functional.pad(batch.valid, (0, 1))
    place = (last_place(batch.valid) + batch.valid.any(dim=1))[:, None]
    return SessionBatch(
        tracks.scatter(1, place, MASK),
        feedback.scatter(1, place, HIDDEN),
        valid.scatter(1, place, True),
        batch.side,
    )
