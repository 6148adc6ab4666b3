"""Adam (Kingma & Ba 2015, Algorithm 1) for a table of which each step reads few rows.

Adam moves every row in every step: a row without a gradient still has momentum, which decays. Here such steps are not
made one by one. They are made up for, in closed form, when the row is next read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.store import PAD
from segue.training.table_rows import TableRows

BETA_1: Final = 0.9
BETA_2: Final = 0.999
EPSILON: Final = 1e-8
"""As in the paper's Algorithm 1."""
_TAIL: Final = 256
"""Steps after which a gradient no longer moves a row through momentum: (.9 / .999 ** .5) ** 256 < 3e-12."""
_FORGOTTEN: Final = 500
"""Steps after which the first moment is set to 0: .9 ** 500 < 2e-23; smaller numbers would be denormal, and slow."""
_FLUSHED_ROWS: Final = 1 << 16
"""Rows that `flush` updates at a time."""


class RowAdam(TableRows):
    """Adam for a table; the cost of a step depends on the rows that it touches, not on the size of the table.

    The result equals `torch.optim.Adam` with the dense gradient, which is 0 in untouched rows, up to rounding and one
    term: in the closed form of the missed steps, epsilon stays the same while the moment beside it decays.

    `torch.optim.SparseAdam` ("lazy" Adam) instead leaves the moments of untouched rows as they are. It moves a row that
    is touched in a share p of the steps in proportion to p, where Adam moves it by about sqrt(p): rare tracks learn too
    slowly.
    """

    def __init__(self, table: Tensor, learning_rate: float) -> None:
        self._table, self.learning_rate, self.num_steps = table, learning_rate, 0
        self._exp_avg = torch.zeros_like(table, requires_grad=False)
        self._exp_avg_sq = torch.zeros_like(table, requires_grad=False)
        self._at = torch.zeros(len(table), dtype=torch.int32, device=table.device)
        self._momentum = torch.zeros(1024, device=table.device)
        self._ids = self._inverse = torch.zeros(0, dtype=torch.int64)
        self._gradient = torch.zeros(0)
        self._rows = (self._gradient, self._gradient, self._gradient)
        """Values, first and second moments of rows `_ids`: what `look_up` read and `update` writes."""

    @torch.no_grad()
    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows `ids`, brought up to date. The table does not change until `update`."""
        unique, self._inverse = torch.unique(ids.long(), return_inverse=True)
        values, exp_avg, exp_avg_sq = (
            part.index_select(0, unique) for part in (self._table, self._exp_avg, self._exp_avg_sq)
        )
        self._bring_up(values, exp_avg, exp_avg_sq, self._at[unique])
        self._ids, self._rows = unique, (values, exp_avg, exp_avg_sq)
        return values.index_select(0, self._inverse)

    @torch.no_grad()
    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Return the squared norm of the gradient, summed by row."""
        self._gradient = torch.zeros_like(self._rows[0]).index_add_(0, self._inverse, gradient)
        self._gradient[self._ids == PAD] = 0.0
        norm: Tensor = torch.linalg.vector_norm(self._gradient)
        return norm.square()

    @torch.no_grad()
    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows last looked up by their gradients times `scale`."""
        self.num_steps += 1
        correction_1, correction_2 = 1 - BETA_1**self.num_steps, 1 - BETA_2**self.num_steps
        (values, exp_avg, exp_avg_sq), grad = self._rows, self._gradient.mul_(scale)
        exp_avg.lerp_(grad, 1 - BETA_1)
        exp_avg_sq.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
        size = (exp_avg_sq / correction_2).sqrt_().add_(EPSILON)
        values.addcdiv_(exp_avg, size, value=-self.learning_rate / correction_1)
        for table, rows in zip((self._table, self._exp_avg, self._exp_avg_sq), self._rows, strict=True):
            table.index_copy_(0, self._ids, rows)
        self._at[self._ids] = self.num_steps
        self._extend_momentum(correction_2**0.5 / correction_1)

    @torch.no_grad()
    def flush(self) -> None:
        """Bring every row up to date: call it before reading the table itself (validation, saving)."""
        for begin in range(0, len(self._table), _FLUSHED_ROWS):
            part = slice(begin, begin + _FLUSHED_ROWS)
            self._bring_up(self._table[part], self._exp_avg[part], self._exp_avg_sq[part], self._at[part])
        self._at.fill_(self.num_steps)

    def state(self) -> dict[str, Tensor]:
        """Return the moments, the step each row was last touched in, and the momentum of past steps."""
        return {
            "exp_avg": self._exp_avg,
            "exp_avg_sq": self._exp_avg_sq,
            "at": self._at,
            "momentum": self._momentum[: self.num_steps + 1],
        }

    def advance_to(self, num_steps: int, momentum: Tensor) -> None:
        """Set the number of steps made and their momentum, after GPU kernels made steps on the tensors of `state`."""
        self.num_steps, self._momentum = num_steps, momentum

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError, RuntimeError: the state is that of another table.
        """
        self._exp_avg.copy_(state["exp_avg"])
        self._exp_avg_sq.copy_(state["exp_avg_sq"])
        self._at.copy_(state["at"])
        self._momentum = state["momentum"].to(self._table.device, copy=True)
        self.num_steps = len(self._momentum) - 1

    def _bring_up(self, values: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, at: Tensor) -> None:
        """Make the steps after `at` with zero gradients, in place."""
        missed = (self.num_steps - at)[:, None]
        steps = self._momentum[at.long()][:, None]
        epsilon = EPSILON * (1 - BETA_2**self.num_steps) ** 0.5
        values.addcdiv_(exp_avg * steps, exp_avg_sq.sqrt().add_(max(epsilon, 1e-30)), value=-self.learning_rate)
        exp_avg.mul_(torch.where(missed > _FORGOTTEN, 0.0, BETA_1**missed))
        exp_avg_sq.mul_(BETA_2**missed)

    def _extend_momentum(self, correction: float) -> None:
        """Add the running step t to every `momentum[s]` = sum over steps j in s + 1 .. t of r^(j - s) c_j.

        Here r = beta_1 / sqrt(beta_2) and c_j = sqrt(1 - beta_2^j) / (1 - beta_1^j). Since step s, momentum has moved a
        row last touched in step s by -learning rate * exp_avg / sqrt(exp_avg_sq) * momentum[s].
        """
        if self.num_steps >= len(self._momentum):
            self._momentum = torch.cat([self._momentum, torch.zeros_like(self._momentum)])
        first = max(0, self.num_steps - _TAIL)
        age = torch.arange(self.num_steps - first, 0, -1, device=self._momentum.device)
        self._momentum[first : self.num_steps] += correction * (BETA_1 / BETA_2**0.5) ** age
