"""The track table as one parameter among others: the full softmax has a gradient for every row of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from segue.encoders.encoder import Encoder
from segue.objectives.packed import Negatives
from segue.store import NUM_SPECIALS


class WholeTable:
    """Every row: a gradient for each, moved with the other parameters."""

    def __init__(self, encoder: Encoder, add: Callable[[Tensor, Tensor, Tensor], None]) -> None:
        """`add(table, ids, gradient)` adds gradients [P, D] of rows `ids` to a table, on the encoder's device."""
        self._weight, self._add = encoder.table.weight, add
        self._gradient = torch.zeros_like(self._weight, requires_grad=False)

    def prepare(self, num_steps: int) -> bool:
        """Nothing to make ready: a graph taken before still holds."""
        return True

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the rows `ids` (int32 [P]), float32 [P, D]."""
        return self._weight.detach()[ids.long()]

    def negatives(self, values: Tensor, ids: Tensor) -> Negatives:
        """Return all tracks; their gradient is written where that of the table is."""
        return Negatives(self._weight.detach()[NUM_SPECIALS:], NUM_SPECIALS, None, self._gradient[NUM_SPECIALS:])

    def take(self, ids: Tensor, gradient: Tensor) -> Tensor:
        """Add the inputs' gradients to those that the softmax left; return 0, see `TableStep`. PAD has none."""
        self._add(self._gradient, ids, gradient)
        self._gradient[0] = 0.0
        self._weight.grad = self._gradient
        return gradient.new_zeros(())

    def update(self, scale: Tensor) -> None:
        """The table was moved with the other parameters; the softmax does not write over the specials' gradients."""
        self._gradient[:NUM_SPECIALS].zero_()

    def hand_back(self) -> None:
        """Nothing is held."""
