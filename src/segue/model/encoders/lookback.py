"""What the encoders without attention share: they read padded sessions and have no learned positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.config import Config, Count, Share
from segue.model.encoders.blocks import Attend
from segue.model.encoders.encoder import Encoder


@dataclass(frozen=True)
class LookbackConfig(Config):
    """What all of them have."""

    width: Count = 128
    """D, of rows and states."""
    dropout: Share = 0.2
    """Share of values dropped in training."""

    position: ClassVar[str] = "literal"
    """They have no learned positions, so training shifts none."""
    replaced_share: ClassVar[float] = 0.0


class LookbackEncoder(Encoder, ABC):
    """Position i sees the table rows of positions <= i and predicts the track at i + 1."""

    masked = False

    @abstractmethod
    def encode(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros.

        What an encoder reads before the first row it sets to zeros itself.
        """

    def states_with(self, batch: Batch, rows: Float[Tensor, "P D"], attend: Attend | None) -> Float[Tensor, "N D"]:
        """Return y_hat at each position. `rows`: the table rows of the positions."""
        source, inside = batch.cells
        padded = rows[: len(batch.tracks)][source] * inside[:, :, None]
        return self.scaled(self.encode(padded)).flatten(0, 1).index_select(0, batch.slot)

    def padded_states(
        self, rows: Float[Tensor, "B L D"], feedback: Int[Tensor, "B L"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions padded on the right whose table rows are given."""
        return self.scaled(self.encode(rows * valid[:, :, None]))
