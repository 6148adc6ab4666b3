"""The training step of a CPU: packed sessions, gradients of the touched rows alone, logits a block at a time."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from segue.batches.next_track import Full
from segue.batches.packed import Packing, window_lengths
from segue.encoders.attention import PackedAttention, padded_layout
from segue.objectives.blocked import BlockedSoftmax, skip_term
from segue.objectives.packed import Negatives
from segue.training.memory import keep_freed_memory
from segue.training.optimisers import Optimisers
from segue.training.packed_step import PackedStep, Parts, Training
from segue.training.row_adam import LookedUp
from segue.training.whole_table import WholeTable

_ROUNDING: Final = 128
"""Inputs are given room in multiples of this: a matrix product of a new shape is compiled first, which costs more than
the product itself."""


class CpuStep(PackedStep):
    """One training step after another on the CPU."""

    def __init__(self, training: Training, *, bf16: bool) -> None:
        full = isinstance(training.recipe.next_track, Full)
        rows = WholeTable(training.encoder, _add_to) if full else TouchedRows(training.optimisers)
        super().__init__(training, Parts(rows, BlockedSoftmax(bf16=bf16), skip_term))
        self._bf16 = bf16
        keep_freed_memory()

    def prepare(self, order: Tensor, num_steps: int) -> Tensor:
        """Return `order`."""
        return order

    def step(self, index: Tensor) -> None:
        """Train on sessions `index`, and add the losses to the sums."""
        lengths = window_lengths(self.training.data, index, self.width)
        size = int(lengths.sum()) - (0 if self.encoder.masked else len(index))
        self.train(index, -(-size // _ROUNDING) * _ROUNDING)

    def encode(self, rows: Tensor, mask: Tensor, packing: Packing) -> Tensor:
        """Return y_hat [T, D] float32."""
        start, size = packing.start.long(), len(packing.position)
        layout = padded_layout(start, self.longest, size, causal=self.encoder.causal)
        attend = PackedAttention(layout, self.encoder.config.heads, self.encoder.share)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bf16):
            return self.encoder.states(self.inputs(rows, mask, packing), packing.position, attend).float()


def _add_to(table: Tensor, ids: Tensor, gradient: Tensor) -> None:
    """Add gradients [P, D] to `table` by row."""
    table.index_add_(0, ids.long(), gradient)


class TouchedRows:
    """The rows of a batch and its negatives, each once, moved by Adam."""

    def __init__(self, optimisers: Optimisers) -> None:
        self._adam = optimisers.table_rows
        self._looked_up: LookedUp | None = None
        self._back = self._gradient = torch.zeros(0)

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the rows as dense Adam would hold them."""
        unique, self._back = torch.unique(ids.long(), return_inverse=True)
        self._looked_up = self._adam.look_up(unique)
        return self._looked_up.values.index_select(0, self._back)

    def negatives(self, values: Tensor, ids: Tensor) -> Negatives:
        """Return the drawn rows."""
        return Negatives(values, ids)

    def take(self, ids: Tensor, gradient: Tensor) -> Tensor:
        """Add up the gradients by row; PAD has none."""
        assert self._looked_up is not None, "look_up comes first"
        self._gradient = torch.zeros_like(self._looked_up.values).index_add_(0, self._back, gradient)
        self._gradient[self._looked_up.ids == 0] = 0.0
        norm: Tensor = torch.linalg.vector_norm(self._gradient)
        return norm.square()

    def update(self, scale: Tensor) -> None:
        """Move the rows touched."""
        assert self._looked_up is not None, "look_up comes first"
        self._adam.step(self._looked_up, self._gradient.mul_(scale))

    def hand_back(self) -> None:
        """Nothing is held."""
