"""Adam (Kingma & Ba 2015, Algorithm 1) over the rows of a table that a step touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

BETA_1: Final = 0.9
BETA_2: Final = 0.999
EPSILON: Final = 1e-8
"""As in the paper's Algorithm 1."""
_TAIL: Final = 256
"""Steps after which the momentum of a gradient moves a row no more: (.9 / .999 ** .5) ** 256 < 3e-12."""
_FORGOTTEN: Final = 500
"""Steps after which the first moment counts as 0: .9 ** 500 < 2e-23, and smaller still would be denormal, so slow."""
_FLUSHED_ROWS: Final = 1 << 16


@dataclass(frozen=True)
class LookedUp:
    """Rows as dense Adam would hold them before the running step, and their moments as they were stored."""

    ids: Tensor
    """int64 [U], distinct."""
    values: Tensor
    """[U, D]."""
    exp_avg: Tensor
    exp_avg_sq: Tensor
    """[U, D], decayed to the step before the running one."""


class RowAdam:
    """Adam for a table of which each step touches few rows; a step costs what those rows cost.

    Equal to Adam with zero gradients for the untouched rows (`torch.optim.Adam` on the dense gradient), up to
    rounding and one term: a row's moments are decayed, and the steps that its momentum would have made are added up in
    closed form, when the row is next looked up or `flush`ed; in that sum epsilon does not grow beside the decaying
    moment. Lazy Adam (`torch.optim.SparseAdam`) freezes the moments of untouched rows instead, and so moves a row that
    is touched in a share p of the steps by p where Adam moves it by about sqrt(p): rare tracks learn too slowly.
    """

    def __init__(self, table: Tensor, learning_rate: float) -> None:
        self._table, self._learning_rate = table, learning_rate
        self._exp_avg = torch.zeros_like(table, requires_grad=False)
        self._exp_avg_sq = torch.zeros_like(table, requires_grad=False)
        self._at = torch.zeros(len(table), dtype=torch.int32, device=table.device)
        self._momentum = torch.zeros(1024, device=table.device)
        self._num_steps = 0

    @torch.no_grad()
    def look_up(self, ids: Tensor) -> LookedUp:
        """Return the rows `ids` (int64 [U], distinct) brought up to date; nothing is written until `step`."""
        tensors = (self._table, self._exp_avg, self._exp_avg_sq)
        values, exp_avg, exp_avg_sq = (part.index_select(0, ids) for part in tensors)
        self._bring_up(values, exp_avg, exp_avg_sq, self._at[ids])
        return LookedUp(ids, values, exp_avg, exp_avg_sq)

    @torch.no_grad()
    def step(self, rows: LookedUp, grad: Tensor) -> None:
        """Move the rows last looked up by their gradient [U, D]."""
        self._num_steps += 1
        correction_1, correction_2 = 1 - BETA_1**self._num_steps, 1 - BETA_2**self._num_steps
        rows.exp_avg.lerp_(grad, 1 - BETA_1)
        rows.exp_avg_sq.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
        size = (rows.exp_avg_sq / correction_2).sqrt_().add_(EPSILON)
        moved = rows.values.detach().addcdiv(rows.exp_avg, size, value=-self._learning_rate / correction_1)
        self._table.index_copy_(0, rows.ids, moved)
        self._exp_avg.index_copy_(0, rows.ids, rows.exp_avg)
        self._exp_avg_sq.index_copy_(0, rows.ids, rows.exp_avg_sq)
        self._at[rows.ids] = self._num_steps
        self._extend_momentum(correction_2**0.5 / correction_1)

    @torch.no_grad()
    def flush(self) -> None:
        """Bring every row up to date: what reads the table itself (validation, saving) comes after this."""
        for begin in range(0, len(self._table), _FLUSHED_ROWS):
            part = slice(begin, begin + _FLUSHED_ROWS)
            self._bring_up(self._table[part], self._exp_avg[part], self._exp_avg_sq[part], self._at[part])
        self._at.fill_(self._num_steps)

    def state(self) -> dict[str, Tensor]:
        """Return what continuing needs."""
        return {
            "exp_avg": self._exp_avg,
            "exp_avg_sq": self._exp_avg_sq,
            "at": self._at,
            "momentum": self._momentum[: self._num_steps + 1],
        }

    @property
    def learning_rate(self) -> float:
        """Of every step."""
        return self._learning_rate

    @property
    def num_steps(self) -> int:
        """Steps made."""
        return self._num_steps

    def advance_to(self, num_steps: int, momentum: Tensor) -> None:
        """Take note of steps that another made on the tensors of `state`, and of the momentum they left."""
        self._num_steps, self._momentum = num_steps, momentum

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            KeyError, RuntimeError: the state is that of another table.
        """
        self._exp_avg.copy_(state["exp_avg"])
        self._exp_avg_sq.copy_(state["exp_avg_sq"])
        self._at.copy_(state["at"])
        self._momentum = state["momentum"].to(self._table.device, copy=True)
        self._num_steps = len(self._momentum) - 1

    def _bring_up(self, values: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, at: Tensor) -> None:
        """Make, in place, the steps after `at` that zero gradients would have made."""
        missed = (self._num_steps - at)[:, None]
        steps = self._momentum[at.long()][:, None]
        epsilon = EPSILON * (1 - BETA_2**self._num_steps) ** 0.5
        values.addcdiv_(exp_avg * steps, exp_avg_sq.sqrt().add_(max(epsilon, 1e-30)), value=-self._learning_rate)
        exp_avg.mul_(torch.where(missed > _FORGOTTEN, 0.0, BETA_1**missed))
        exp_avg_sq.mul_(BETA_2**missed)

    def _extend_momentum(self, correction: float) -> None:
        """Add the running step t to `momentum[s]`, the sum over steps j in s + 1 .. t of r^(j - s) c_j.

        r = beta_1 / sqrt(beta_2) and c_j = sqrt(1 - beta_2^j) / (1 - beta_1^j): a row last touched at s has moved since
        by -learning rate * exp_avg / sqrt(exp_avg_sq) times it.
        """
        if self._num_steps >= len(self._momentum):
            self._momentum = torch.cat([self._momentum, torch.zeros_like(self._momentum)])
        first = max(0, self._num_steps - _TAIL)
        age = torch.arange(self._num_steps - first, 0, -1, device=self._momentum.device)
        self._momentum[first : self._num_steps] += correction * (BETA_1 / BETA_2**0.5) ** age
