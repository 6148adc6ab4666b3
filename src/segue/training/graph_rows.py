"""How a GPU step reads and moves the track table by the rows it touches."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from segue.encoders.encoder import Encoder
from segue.kernels import rows as kernels
from segue.objectives.packed import Negatives
from segue.training.optimisers import Optimisers

_STEPS_AHEAD: Final = 1 << 16
"""Steps for which the rows' momentum has room before the graph must be taken anew."""


class TouchedRows:
    """The rows of a batch and its negatives, moved by Adam in place."""

    def __init__(self, encoder: Encoder, optimisers: Optimisers) -> None:
        self._encoder, self._adam = encoder, optimisers.table_rows
        self._step = torch.zeros(1, dtype=torch.int32, device=encoder.table.weight.device)
        self._momentum = torch.zeros(0, device=self._step.device)
        self._state: kernels.RowState | None = None
        self._summed: kernels.Summed | None = None

    def prepare(self, num_steps: int) -> bool:
        """Make ready for `num_steps` steps; return whether a graph taken before still holds."""
        self.hand_back()
        made, held = self._adam.num_steps, self._adam.state()
        lasts = made + num_steps < len(self._momentum)
        if not lasts:
            self._momentum = self._momentum.new_zeros(made + num_steps + _STEPS_AHEAD)
        self._momentum[: made + 1] = held["momentum"]
        self._step.fill_(made)
        table = self._encoder.table.weight.detach()
        rest = (held["exp_avg"], held["exp_avg_sq"], held["at"], self._momentum, self._step, self._adam.learning_rate)
        self._state = kernels.RowState(table, *rest)
        return lasts

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the rows as dense Adam would hold them."""
        assert self._state is not None, "prepare comes first"
        return kernels.look_up(self._state, ids)

    def negatives(self, values: Tensor, ids: Tensor) -> Negatives:
        """Return the drawn rows."""
        return Negatives(values, ids)

    def take(self, ids: Tensor, gradient: Tensor) -> Tensor:
        """Add up the gradients by row."""
        self._summed = kernels.sum_grads(ids, gradient)
        return self._summed.square

    def update(self, scale: Tensor) -> None:
        """Move the rows touched."""
        assert self._state is not None, "prepare comes first"
        assert self._summed is not None, "take comes first"
        kernels.update(self._state, self._summed, scale)

    def hand_back(self) -> None:
        """Let the optimiser know the steps made."""
        if self._state is not None:
            made = int(self._step)
            self._adam.advance_to(made, self._momentum[: made + 1].clone())


def add_to(table: Tensor, ids: Tensor, gradient: Tensor) -> None:
    """Add gradients [P, D] to `table` by row, always in the order of places."""
    kernels.add_to(table, kernels.sum_grads(ids, gradient))
