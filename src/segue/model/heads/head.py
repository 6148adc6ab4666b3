"""What is trained on top of an encoder's states. To add a head: see CONTRIBUTING.md."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.objectives import Mixture
from segue.store import Store


@dataclass(frozen=True)
class Predicted:
    """N positions of a batch and what they should predict."""

    states: Float[Tensor, "N D"]
    """y_hat."""
    last: Int[Tensor, " N"]
    """Original table row of the track at each position."""
    target: Int[Tensor, " N"]
    """Table row of the track to predict; 0 = none."""
    listened: Bool[Tensor, " N"]
    """Whether the target was listened to."""
    skipped: Bool[Tensor, " N"]
    """Whether it was skipped; neither where its feedback is unknown."""
    batch: Batch
    """The sessions of the positions, as the encoder reads them."""
    rows: Float[Tensor, "N D"]
    """Table row of the track that the encoder reads at each position."""
    following: Int[Tensor, " N"] | None = None
    """Table row of the track after each position, where the target is another one."""


@dataclass(frozen=True)
class Added:
    """Mass that a head adds to exp(score) of some tracks after B sessions; a track may occur more than once."""

    session: Int[Tensor, " n"]
    tracks: Int[Tensor, " n"]
    """Table rows."""
    log_mass: Float[Tensor, " n"]
    """float64."""
    in_place: int = 0
    """0: beside exp(score). Above: in place of it, for at most so many tracks of one session."""


class Head(nn.Module, ABC):
    """One head: its parameters, what its loss is, and what it adds to the next-track softmax."""

    config_type: ClassVar[type[Any]]
    """The frozen record of its section `[heads.NAME]`."""
    weights_type: ClassVar[type[Any] | None] = None
    """The frozen record of the weights that validation chooses after training; see `ranking_weights`."""
    has_loss: ClassVar[bool] = False
    """Whether it has a loss of its own, whose weight is `config.weight`."""

    def __init__(self, config: Any, width: int, counts: TrainingCounts) -> None:
        """`counts`: what the training rows hold; `width`: D."""
        super().__init__()
        self.config = config
        self.ranking_weights: Any = None if self.weights_type is None else self.weights_type()
        """What validation chose. Rankings read it; training does not."""

    @classmethod
    def load(cls, config: Any, store: Store, split: Split, device: torch.device | str) -> SideData | None:
        """Return what the head reads of each session of `store` (`Batch.session_side`); None = nothing."""
        return None

    def initialise(self, num_tracks: int) -> None:
        """Set the parameters that do not begin as random numbers, after all were drawn."""

    def loss(self, predicted: Predicted, target_rows: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
        """Return the loss of the head. `target_rows`: table rows of the targets."""
        raise NotImplementedError

    def mixture(self, predicted: Predicted) -> Mixture | None:
        """Return what the head mixes into the next-track softmax; None = nothing."""
        return None

    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added | None:
        """Return what the head adds in a ranking after the sessions of `batch`; None = nothing.

        `table`: the rows of all tracks as they are ranked. With `ranking_weights`; otherwise the same as `mixture`.
        """
        return None

    def check_weights(self) -> bool:
        """Return whether tensors that were read from a file can be those of a trained head."""
        return True
