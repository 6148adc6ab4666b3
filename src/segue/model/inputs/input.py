"""An input: something that an encoder reads beside the tracks of a session. To add one: see CONTRIBUTING.md."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.store import Store


@dataclass(frozen=True)
class TrackValues:
    """The features of tracks, for inputs that read them."""

    values: Float[Tensor, "R F"]
    """Standardised features of each table row."""
    trained: Tensor
    """bool [R], which rows were trained."""


class Input(nn.Module, ABC):
    """One input: how it is read from a store, what training hides of it, and what it adds to the rows of tracks."""

    config_type: ClassVar[type[Any]]
    """The frozen record of its section `[inputs.NAME]`."""
    only_causal: ClassVar[bool] = True
    """Whether it needs a causal encoder, one that does not attend to padding."""
    reads_feedback: ClassVar[bool] = False
    """Whether the feedback of a track can change what it adds."""

    @classmethod
    def build(cls, config: Any, width: int, track_values: TrackValues | None) -> Input | None:
        """Return the input of `config`; None where it may be left out and the store lacks what it reads."""
        return cls(config, width)

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.config, self.width = config, width

    @classmethod
    def check_store(cls, config: Any, store: Store) -> None:
        """Refuse a store that lacks what the input reads (InputError)."""

    @classmethod
    def load(cls, config: Any, store: Store, split: Split, device: torch.device | str) -> SideData | None:
        """Return the values of the input for `store`; None where tracks and feedback are all that it reads."""
        return None

    def forward(
        self,
        rows: Float[Tensor, "*shape D"],
        feedback: Int[Tensor, "*shape"],
        batch: Batch | None,
    ) -> Float[Tensor, "*shape D"]:
        """Return the rows of positions with what the input adds; here nothing.

        `batch`: None in the form that is exported, where `rows` are those of padded sessions [B, L, D] of which only
        the feedback is known. What a batch lacks is unknown as well.
        """
        return rows

    def track_rows(
        self, table_rows: Float[Tensor, "*shape D"], tracks: Int[Tensor, "*shape"], key: Tensor | None = None
    ) -> Float[Tensor, "*shape D"]:
        """Return what becomes of rows of the track table, wherever they are read, compared or ranked.

        `key`: int64 [1], drawn for a training step, decides what is dropped in it; None = nothing is.
        """
        return table_rows

    def all_rows(self, table: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """Return `track_rows` of the whole table, without gradient."""
        return table
