"""The cloze encoder (BERT4Rec-like): every position sees all; MASK is what it predicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from segue import skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.config import Share
from segue.model.encoders.blocks import TransformerConfig
from segue.model.encoders.transformer import TransformerEncoder
from segue.store import MASK, PAD


@dataclass(frozen=True)
class ClozeConfig(TransformerConfig):
    """A transformer that looks both ways (Sun et al. 2019; Seshadri & Knees 2023)."""

    kind: ClassVar[str] = "cloze"
    mask_share: Share = 0.2
    """p, the share of tracks masked besides the last, drawn afresh for each batch."""

    @property
    def replaced_share(self) -> float:
        """Share of positions at which training reads a special row."""
        return self.mask_share


class ClozeEncoder(TransformerEncoder):
    """Every position sees every position of its session."""

    masked = True
    causal = False

    def next_state(self, batch: Batch) -> Float[Tensor, "B D"]:
        """Return y_hat at a MASK appended after each session's last track (of its most recent `max_len` - 1)."""
        longer = with_mask(batch.recent(self.max_len - 1))
        return self.state_at(longer, longer.last)

    def padded_next_state(
        self,
        rows: Float[Tensor, "B L D"],
        feedback: Int[Tensor, "B L"],
        valid: Bool[Tensor, "B L"],
        mask_row: Float[Tensor, " D"],
    ) -> Float[Tensor, "B D"]:
        """Return y_hat at a MASK appended after each session's last valid track (at most `max_len` - 1 of them)."""
        count = valid.sum(dim=1)
        age = valid.flip(1).long().cumsum(dim=1).flip(1)
        valid = functional.pad(valid & (age < self.max_len), (0, 1))
        mask_column = count[:, None, None].expand(-1, 1, rows.shape[2])
        rows = functional.pad(rows, (0, 0, 0, 1)).scatter(1, mask_column, mask_row.expand(rows.shape[0], 1, -1))
        hidden = functional.pad(feedback, (0, 1), value=skips.FEEDBACK_HIDDEN)
        hidden = hidden.scatter(1, count[:, None], skips.FEEDBACK_HIDDEN)
        states = self.padded_states(rows, hidden, valid.scatter(1, count[:, None], True))
        return states[torch.arange(states.shape[0], device=states.device), count]


def with_mask(batch: Batch) -> Batch:
    """Return the batch with MASK after the last track of each session; it replaces a PAD that stands alone."""
    alone = batch.tracks[batch.last] == PAD
    longer = batch.cut(batch.offsets[:-1], batch.lengths + 1 - alone.long(), batch.longest + 1)
    is_mask = torch.zeros_like(longer.tracks, dtype=torch.bool)
    is_mask[longer.last] = True
    return replace(
        longer,
        tracks=longer.tracks.masked_fill(is_mask, MASK),
        feedback=longer.feedback.masked_fill(is_mask, skips.FEEDBACK_HIDDEN),
    )
