"""What the encoders without attention share: sessions moved to the left edge, rows in, states of a look back out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.encoders.encoder import Encoder
from segue.encoders.transformer import last_place, most_recent
from segue.session_batch import SessionBatch

PAD: Final = 0
"""Table row of padding; its values are 0."""


@dataclass(frozen=True)
class LookbackConfig:
    """What every look back has."""

    width: int = 128
    """D, of rows and states."""
    dropout: float = 0.2
    """Share of values dropped in training."""

    position: ClassVar[str] = "literal"
    """No row belongs to a position, so training has nothing to shift."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in [0, 1)")


class LookbackEncoder(Encoder, ABC):
    """Position i sees the table rows of positions <= i and predicts the track at i + 1; no learned positions.

    Subclasses see every session from its first track on, zero rows after its last; before the first they put zeros
    themselves. Padding on either side so never changes a state.
    """

    masked = False
    inputs = frozenset[str]()

    def forward(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Return y_hat [B, L, D]; rows at padding are finite and meaningless."""
        place = batch.valid.long().cumsum(dim=1) - 1
        sessions, length = place.shape
        # column `length` takes what is no track, and is cut off
        column = place.masked_fill(~batch.valid, length)
        tracks = batch.tracks.new_full((sessions, length + 1), PAD).scatter(1, column, batch.tracks)[:, :length]
        states = self.states(self.rows(tracks))
        return _moved_back(states, place.clamp(min=0))

    @abstractmethod
    def states(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at position 0, their rows followed by zeros."""

    def next_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        """Return y_hat at each session's last valid track (of its most recent `max_len`)."""
        recent = most_recent(batch, self.max_len)
        states: Tensor = self(recent)
        return states[torch.arange(states.shape[0], device=states.device), last_place(recent.valid)]


def _moved_back(states: Float[Tensor, "B L D"], place: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    """Return states[b, place[b, i]] at b, i: whole rows are copied, which `gather` would do value by value."""
    sessions, length = place.shape
    first = torch.arange(sessions, device=place.device)[:, None] * length
    return states.flatten(0, 1).index_select(0, (first + place).flatten()).view(states.shape)
