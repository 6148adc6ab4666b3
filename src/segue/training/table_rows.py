"""How a training step reads and moves the track table: only the rows that it touches, or (full softmax) all of it.

A step calls `look_up`, computes the gradient of the rows, hands it over with `take`, and calls `update` when the scale
of all gradients is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from segue.axes import Float, Int
from segue.model import Encoder


class TableRows(ABC):
    """Reads and moves rows of the table, one training step after another."""

    def prepare(self, num_steps: int) -> bool:
        """Return whether a graph that was captured before is still valid for the next `num_steps` steps."""
        return True

    @abstractmethod
    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows `ids` (repeats allowed) as they are before the step."""

    @abstractmethod
    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Return the squared norm of the gradient, summed by row; keep the sums for `update`. PAD's gradient is 0.

        The norm is 0 if the table is one of the optimiser's `parameters`, whose norms the step computes itself.
        """

    @abstractmethod
    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows by their gradients times `scale`. The other parameters have been moved already."""

    def hand_back(self) -> None:
        """Tell the optimiser how many steps were made: call it before reading the table or the optimiser's state."""
        return


class WholeTable(TableRows):
    """The table as one of the optimiser's parameters: the full softmax has a gradient in every row."""

    def __init__(self, encoder: Encoder) -> None:
        self._weight = encoder.table.weight

    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows."""
        return self._weight.detach().index_select(0, ids)

    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Add the gradient of the rows to the gradient of the whole table; return 0."""
        assert self._weight.grad is not None, "the softmax reads the whole table"
        if gradient.device.type == "cuda":
            from segue.kernels import rows

            rows.add_to(self._weight.grad, rows.sum_grads(ids.int(), gradient))  # always in the same order
        else:
            self._weight.grad.index_add_(0, ids, gradient)
        self._weight.grad[0] = 0.0
        return gradient.new_zeros(())

    def update(self, scale: Float[Tensor, ""]) -> None:
        """Do nothing: the table was moved with the other parameters."""
