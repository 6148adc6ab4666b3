"""What the losses of one training step are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue import skips
from segue.axes import Bool, Float
from segue.batches.example import Example
from segue.objectives import Mixture, Negatives
from segue.objectives.roles import Heard


@dataclass(frozen=True)
class SessionNegatives:
    """A draw of negatives for each session."""

    rows: Float[Tensor, "B M D"]


@dataclass(frozen=True)
class LossInputs:
    """A batch after the encoder: states, and the table rows that they are compared with."""

    example: Example
    """With the targets of the recipe's rule."""
    states: Float[Tensor, "N D"]
    """y_hat at each position, float32."""
    target_rows: Float[Tensor, "N D"]
    """Table row of the target at each position; anything where there is none."""
    negatives: Negatives | SessionNegatives | None
    """None where all tracks are negatives."""
    table_rows: Float[Tensor, "R D"] | None
    """The rows of all tracks where all are negatives, else None."""
    window_rows: Float[Tensor, "B W D"] | None
    """Table rows of the training windows where a loss reads them, else None."""
    mixture: Mixture | None
    """What heads mix into the softmax."""
    position_rows: Float[Tensor, "N D"]
    """Table row of the track that the encoder reads at each position."""
    skip_at_least: int
    """Smallest strength that counts as a skip."""
    num_tracks: int
    """V."""

    def exact(self) -> torch.autocast:
        """Return a context in which products are float32."""
        return torch.autocast(self.states.device.type, enabled=False)

    @property
    def target_skipped(self) -> Bool[Tensor, " N"]:
        """Whether the target of each position was skipped."""
        skipped: Tensor = skips.skipped(self.example.target_feedback, self.skip_at_least)
        return skipped

    @property
    def heard(self) -> Heard:
        """How the training windows were heard."""
        window = self.example.window
        skipped = skips.skipped(window.feedback, self.skip_at_least) & window.valid
        listened = skips.listened(window.feedback, self.skip_at_least) & window.valid
        return Heard(window.tracks, skipped, listened)

    @property
    def window_states(self) -> Float[Tensor, "B W D"]:
        """The states of the training windows. The last track of a causal window has no state: 0 stands there."""
        id_index = self.example.window.id_index
        has_state = (id_index < len(self.states)) & self.example.window.valid
        return self.states[id_index * has_state] * has_state[:, :, None]

    def by_session(self, rows: Float[Tensor, "B M D"]) -> Float[Tensor, "B L M"]:
        """Return the scores of rows of each session at its positions; those of padding have no meaning."""
        with self.exact():
            return self.states[self.example.batch.cells[0]] @ rows.transpose(1, 2)

    def flat(self, padded: Float[Tensor, "B L"]) -> Float[Tensor, " N"]:
        """Return padded values by position; anything after the last session."""
        return padded.flatten().index_select(0, self.example.batch.slot)
