"""Draws from the training popularity: a track as often as it stands in training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.axes import Int
from segue.batches.data import SessionData


@dataclass(frozen=True)
class TrainingPopularity:
    """Training rows to draw tracks from, each as often as it is played there; what is held out is none of them."""

    tracks: Int[Tensor, " rows"]
    """All rows of the store, as `SessionData.tracks`."""
    before: Int[Tensor, " Nt"]
    """Training rows up to and with those of each session."""
    shift: Int[Tensor, " Nt"]
    """From the number of a training row to its row in the store, session by session."""
    total: int

    @classmethod
    def of(cls, data: SessionData) -> TrainingPopularity:
        """Return the popularity in the training parts of `data`, the last track of each included."""
        before = (data.train_end - data.train_begin).cumsum(0)
        return cls(data.tracks, before, data.train_end - before, int(before[-1]))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Int[Tensor, "*shape"]:
        """Return the tracks of rows drawn uniformly, with replacement, int64 of the shape asked for."""
        number = torch.randint(self.total, shape, generator=generator, device=self.before.device)
        session = torch.searchsorted(self.before, number, right=True)
        return self.tracks[number + self.shift[session]].long()
