"""`log_sum_of_others` on a CPU: a block of scores at a time, its gradient written out."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_CELLS: Final = 1 << 20
"""Scores of one block: 2 MB in bfloat16 stay in the cache of a core."""
_SAVED_CELLS: Final = 1 << 27
"""Most shares that are saved for the backward pass (256 MB in bfloat16); more are computed again there."""
_WIDE: Final = 1 << 14
"""Columns of a block where there are more."""
_ROUNDING: Final = 128
"""Targets are taken in multiples of this: a matrix product of a new shape is compiled first."""
_MOSTLY: Final = 0.8
"""Share of positions with a target above which all positions are taken."""
_NOTHING: Final = -1e30
_FEW: Final = 16
"""Columns of a block that `_log_sum` looks at first."""


class BlockedLogSum(torch.autograd.Function):
    """(score of each target, log of the sum over the other rows of exp(score)); see `log_sum_of_others`.

    `tracks` is the track of each row, and then the target's score is 0 without a gradient; or the number of special
    rows of a whole table, and then row t is track t.
    """

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return scores of targets and log sums."""
        first = tracks if isinstance(tracks, int) else 0
        real = torch.nonzero(target)[:, 0]
        chosen, ids, x = None, target, states
        if len(real) < _MOSTLY * len(states):  # cloze: most positions predict nothing
            chosen = functional.pad(real, (0, -len(real) % _ROUNDING))
            ids, x = target[chosen].clone(), states.index_select(0, chosen)
            ids[len(real) :] = 0
        blocks = _Blocks(x.to(dtype), rows[first:].to(dtype), _Copies(ids, tracks), correction)
        others, shares = blocks.log_sums()
        target_scores = torch.zeros_like(others)
        if isinstance(tracks, int):
            target_scores = (x * rows.index_select(0, ids)).sum(1)
        context.save_for_backward(states, rows, ids, others)
        context.blocks, context.shares, context.chosen, context.first = blocks, shares, chosen, first
        context.whole = isinstance(tracks, int)
        if chosen is None:
            return target_scores, others
        spread = torch.zeros((2, len(states)))
        spread[0, chosen[: len(real)]], spread[1, chosen[: len(real)]] = target_scores[: len(real)], others[: len(real)]
        return spread[0], spread[1]

    @staticmethod
    def backward(context: Any, grad_target: Tensor, grad_others: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        states, rows, ids, others = context.saved_tensors
        chosen, first = context.chosen, context.first
        x = states
        if chosen is not None:
            real = ids > 0
            grad_target, grad_others = grad_target[chosen] * real, grad_others[chosen] * real
            x = states.index_select(0, chosen)
        of_rows = torch.zeros(rows.shape)
        of_x = context.blocks.gradients(others, context.shares, grad_others, of_rows[first:])
        context.shares = None
        if context.whole:
            of_x.addcmul_(grad_target[:, None], rows.index_select(0, ids))
            of_rows.index_add_(0, ids, grad_target[:, None] * x)
            of_rows[:first] = 0.0
        of_states = of_x if chosen is None else torch.zeros_like(states).index_add_(0, chosen, of_x)
        return of_states, of_rows, None, None, None, None


class _Blocks:
    """The scores of one call, block by block."""

    def __init__(self, x: Tensor, w: Tensor, copies: _Copies, correction: Tensor | None) -> None:
        self._x, self._w, self._copies, self._correction = x, w, copies, correction
        self._wide = max(1, min(len(w), _WIDE))
        self._tall = max(1, _CELLS // self._wide)
        self._saves = len(w) <= _WIDE and len(x) * len(w) <= _SAVED_CELLS

    def log_sums(self) -> tuple[Tensor, list[Tensor]]:
        """Return log sums, float32 [T], and the shares of each block where they are saved."""
        result, shares = torch.full((len(self._x),), -torch.inf), list[Tensor]()
        for rows, columns in self._places():
            scores = self._scores(rows, columns)
            if self._saves:
                shares.append(scores.softmax(1))
                result[rows] = _log_sum(scores, shares[-1])
            else:
                result[rows] = torch.logaddexp(result[rows], torch.logsumexp(scores.float(), 1))
        return result, shares

    def gradients(self, log_sums: Tensor, saved: list[Tensor], weight: Tensor, of_rows: Tensor) -> Tensor:
        """Return the gradient in the states of sum(weight * log_sums), and add that in the rows to `of_rows`."""
        result = torch.zeros(self._x.shape)
        for block, (rows, columns) in enumerate(self._places()):
            if saved:
                shares = saved[block]
            else:
                shares = self._scores(rows, columns).float().sub_(log_sums[rows, None]).exp_().to(self._x.dtype)
            factor = weight[rows, None]
            result[rows] += (shares @ self._w[columns]).float().mul_(factor)
            of_rows[columns] += (shares.T @ (self._x[rows] * factor).to(self._x.dtype)).float()
        return result

    def _places(self) -> list[tuple[slice, slice]]:
        return [
            (slice(t, t + self._tall), slice(n, n + self._wide))
            for n in range(0, len(self._w), self._wide)
            for t in range(0, len(self._x), self._tall)
        ]

    def _scores(self, rows: slice, columns: slice) -> Tensor:
        scores = self._x[rows] @ self._w[columns].T
        if self._correction is not None:
            scores.add_(self._correction[columns])  # the sum is rounded, not the correction itself
        self._copies.leave_out(scores, rows, columns)
        return scores


class _Copies:
    """Which rows are copies of a target."""

    def __init__(self, target: Tensor, tracks: Tensor | int) -> None:
        if isinstance(tracks, int):
            self._row, self._column = torch.arange(len(target)), target.long() - tracks
            return
        ordered, order = tracks.sort()
        first, end = torch.searchsorted(ordered, target), torch.searchsorted(ordered, target, right=True)
        count = end - first
        self._row = torch.repeat_interleave(torch.arange(len(target)), count)
        nth = torch.arange(len(self._row)) - (count.cumsum(0) - count)[self._row]
        self._column = order[first[self._row] + nth]

    def leave_out(self, scores: Tensor, rows: slice, columns: slice) -> None:
        """Set the scores of copies within a block so low that they count as nothing."""
        row, column = self._row - rows.start, self._column - columns.start
        inside = (row >= 0) & (row < len(scores)) & (column >= 0) & (column < scores.shape[1])
        scores[row[inside], column[inside]] = _NOTHING


def _log_sum(scores: Tensor, shares: Tensor) -> Tensor:
    """Return log of the sum of exp(scores) of each row, float32, from one score and its share of the softmax.

    Any column gives it as exactly as the shares are rounded; the largest of the first few is taken.
    """
    for few in (_FEW, scores.shape[1]):
        best, column = shares[:, :few].max(1)
        if bool((best > 0).all()):
            break
    return scores.gather(1, column[:, None])[:, 0].float() - best.float().log()
