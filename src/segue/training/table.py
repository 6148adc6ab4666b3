"""How a training step reads and moves the track table: by the rows that it touches, or (full softmax) as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.model import Encoder
from segue.training.optimisers import Optimisers
from segue.training.row_adam import LookedUp

_STEPS_AHEAD: Final = 1 << 16
"""Steps for which the momentum of rows has room before a captured graph must be captured again."""


class TableRows(ABC):
    """The rows of the table in one training step after another."""

    def prepare(self, num_steps: int) -> bool:
        """Make ready for `num_steps` steps; return whether a graph that was captured before is still valid."""
        return True

    @abstractmethod
    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows `ids` (repeats allowed) as they are before the step."""

    @abstractmethod
    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Take the gradients of the rows looked up; return their squared norm. PAD has no gradient.

        0 where the table is one of the optimiser's `parameters`, whose norms are added up apart.
        """

    @abstractmethod
    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows by their gradients times `scale`; the other parameters were moved just before."""

    def hand_back(self) -> None:
        """Tell the optimiser which steps were made: reading the table or its state comes after this."""
        return


class AdamRows(TableRows):
    """The distinct rows of a batch, moved by `RowAdam`; the plain form for any device."""

    def __init__(self, optimisers: Optimisers) -> None:
        self._adam = optimisers.table_rows
        self._looked_up: LookedUp | None = None
        self._inverse = self._gradient = torch.zeros(0)

    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows as dense Adam would have them."""
        unique, self._inverse = torch.unique(ids.long(), return_inverse=True)
        self._looked_up = self._adam.look_up(unique)
        return self._looked_up.values.index_select(0, self._inverse)

    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Add up the gradients by row; return their squared norm."""
        assert self._looked_up is not None, "look_up comes first"
        self._gradient = torch.zeros_like(self._looked_up.values).index_add_(0, self._inverse, gradient)
        self._gradient[self._looked_up.ids == 0] = 0.0
        norm: Tensor = torch.linalg.vector_norm(self._gradient)
        return norm.square()

    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows touched."""
        assert self._looked_up is not None, "look_up comes first"
        self._adam.step(self._looked_up, self._gradient.mul_(scale))


class KernelRows(TableRows):
    """The rows of a batch, moved in place by GPU kernels; nothing waits for the host."""

    def __init__(self, encoder: Encoder, optimisers: Optimisers) -> None:
        from segue.kernels import rows

        self._kernels, self._encoder, self._adam = rows, encoder, optimisers.table_rows
        self._step = torch.zeros(1, dtype=torch.int32, device=encoder.table.weight.device)
        self._momentum = torch.zeros(0, device=self._step.device)
        self._state: rows.RowState | None = None
        self._summed: rows.Summed | None = None

    def prepare(self, num_steps: int) -> bool:
        """Make room for the momentum of `num_steps` steps."""
        self.hand_back()
        made, state = self._adam.num_steps, self._adam.state()
        has_room = made + num_steps < len(self._momentum)
        if not has_room:
            self._momentum = self._momentum.new_zeros(made + num_steps + _STEPS_AHEAD)
        self._momentum[: made + 1] = state["momentum"]
        self._step.fill_(made)
        moments = (state["exp_avg"], state["exp_avg_sq"], state["at"], self._momentum, self._step)
        table = self._encoder.table.weight.detach()
        self._state = self._kernels.RowState(table, *moments, self._adam.learning_rate)
        return has_room

    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows as dense Adam would have them."""
        assert self._state is not None, "prepare comes first"
        return self._kernels.look_up(self._state, ids.int())

    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Add up the gradients by row, always in the same order."""
        self._summed = self._kernels.sum_grads(ids.int(), gradient)
        return self._summed.square

    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows touched."""
        assert self._state is not None, "prepare comes first"
        assert self._summed is not None, "take comes first"
        self._kernels.update(self._state, self._summed, scale)

    def hand_back(self) -> None:
        """Tell the optimiser which steps were made."""
        if self._state is not None:
            made = int(self._step)
            self._adam.advance_to(made, self._momentum[: made + 1].clone())


class WholeTable(TableRows):
    """The table as one parameter among others: the full softmax has a gradient for every row of it."""

    def __init__(self, encoder: Encoder) -> None:
        self._weight = encoder.table.weight

    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows."""
        return self._weight.detach().index_select(0, ids)

    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Add the gradients of the rows looked up to that which the softmax left; return 0."""
        assert self._weight.grad is not None, "the softmax reads the whole table"
        if gradient.device.type == "cuda":
            from segue.kernels import rows

            rows.add_to(self._weight.grad, rows.sum_grads(ids.int(), gradient))  # always in the same order
        else:
            self._weight.grad.index_add_(0, ids, gradient)
        self._weight.grad[0] = 0.0
        return gradient.new_zeros(())

    def update(self, scale: Float[Tensor, ""]) -> None:
        """The table was moved with the other parameters."""
