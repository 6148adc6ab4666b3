"""The log of the sum of exp(score) over many rows, on a CPU, one block of scores at a time.

With N states X [N, D] and M rows W [M, D], the scores X W^T are an [N, M] matrix. It is not kept whole: a block of it
that fits into the cache of a core is multiplied out, reduced, and thrown away. The gradient is written out here for the
same reason. With the share of each row p[n, m] = exp(score[n, m] - log_sum[n]) and the gradient g[n] of log_sum[n],

    gradient of X = diag(g) p W,    gradient of W = p^T diag(g) X.

The backward pass needs p again. It is saved in the forward pass if it fits into a fixed amount of memory, else computed
again from the saved log sums.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_CELLS: Final = 1 << 20
"""Scores of one block: 2 MB in bfloat16 fit into the cache of a core."""
_SAVED_CELLS: Final = 1 << 27
"""Most shares that are saved for the backward pass (256 MB in bfloat16)."""
_WIDE: Final = 1 << 14
"""Most columns of a block."""
_ROUNDING: Final = 128
"""The number of targets is rounded up to a multiple of this: a matrix product of a new shape is compiled first."""
_MOSTLY: Final = 0.8
"""If a smaller share of the positions has a target, only those positions are multiplied."""
_NOTHING: Final = -1e30
_FEW: Final = 16
"""Columns of a block that `_log_sum` looks at first."""


class BlockedLogSum(torch.autograd.Function):
    """(score of each target, log of the sum over the other rows of exp(score)); see `log_sum_of_others`.

    `tracks` is the track of each row, and then the scores of the targets are 0 without a gradient; or it is the number
    of special rows of a whole table, and then row t is track t.
    """

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return scores of targets and log sums, float32 [N] each; 0 where there is no target."""
        first = tracks if isinstance(tracks, int) else 0
        real = torch.nonzero(target)[:, 0]
        chosen, ids, x = None, target, states
        if len(real) < _MOSTLY * len(states):  # cloze: most positions predict nothing
            chosen = functional.pad(real, (0, -len(real) % _ROUNDING))
            ids, x = target[chosen].clone(), states.index_select(0, chosen)
            ids[len(real) :] = 0
        blocks = _Blocks(x.to(dtype), rows[first:].to(dtype), _copies(ids, tracks), correction)
        log_sums, shares = blocks.log_sums()
        target_scores = torch.zeros_like(log_sums)
        if isinstance(tracks, int):
            target_scores = (x * rows.index_select(0, ids)).sum(1)
        context.save_for_backward(states, rows, ids, log_sums)
        context.blocks, context.shares, context.chosen, context.first = blocks, shares, chosen, first
        context.whole_table = isinstance(tracks, int)
        if chosen is None:
            return target_scores, log_sums
        spread = torch.zeros((2, len(states)))
        spread[:, real] = torch.stack([target_scores, log_sums])[:, : len(real)]
        return spread[0], spread[1]

    @staticmethod
    def backward(context: Any, grad_target: Tensor, grad_log_sums: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in states and rows."""
        states, rows, ids, log_sums = context.saved_tensors
        chosen, first = context.chosen, context.first
        x = states
        if chosen is not None:
            real = ids > 0
            grad_target, grad_log_sums = grad_target[chosen] * real, grad_log_sums[chosen] * real
            x = states.index_select(0, chosen)
        of_rows = torch.zeros(rows.shape)
        of_x = context.blocks.gradients(log_sums, context.shares, grad_log_sums, of_rows[first:])
        context.shares = None
        if context.whole_table:
            of_x.addcmul_(grad_target[:, None], rows.index_select(0, ids))
            of_rows.index_add_(0, ids, grad_target[:, None] * x)
            of_rows[:first] = 0.0
        of_states = of_x if chosen is None else torch.zeros_like(states).index_add_(0, chosen, of_x)
        return of_states, of_rows, None, None, None, None


class _Blocks:
    """The scores x [T, D] @ w [M, D]^T + correction [M] of one call, block by block.

    `copies`: the cells (row, column) that hold the score of a target itself. They are left out of the sums.
    """

    def __init__(self, x: Tensor, w: Tensor, copies: tuple[Tensor, Tensor], correction: Tensor | None) -> None:
        self._x, self._w, self._copies, self._correction = x, w, copies, correction
        wide = max(1, min(len(w), _WIDE))
        tall = max(1, _CELLS // wide)
        self._slices = [
            (slice(t, t + tall), slice(n, n + wide)) for n in range(0, len(w), wide) for t in range(0, len(x), tall)
        ]
        self._saves = len(w) <= _WIDE and len(x) * len(w) <= _SAVED_CELLS

    def log_sums(self) -> tuple[Tensor, list[Tensor]]:
        """Return the log sums, float32 [T], and the shares of each block if they are saved."""
        result, shares = torch.full((len(self._x),), -torch.inf), list[Tensor]()
        for rows, columns in self._slices:
            scores = self._scores(rows, columns)
            if self._saves:
                shares.append(scores.softmax(1))
                result[rows] = _log_sum(scores, shares[-1])
            else:
                result[rows] = torch.logaddexp(result[rows], torch.logsumexp(scores.float(), 1))
        return result, shares

    def gradients(self, log_sums: Tensor, saved: list[Tensor], weight: Tensor, of_rows: Tensor) -> Tensor:
        """Return the gradient of sum(weight * log_sums) in x, float32 [T, D]; add that in w to `of_rows` [M, D]."""
        result = torch.zeros(self._x.shape)
        for block, (rows, columns) in enumerate(self._slices):
            if saved:
                shares = saved[block]
            else:
                shares = self._scores(rows, columns).float().sub_(log_sums[rows, None]).exp_().to(self._x.dtype)
            factor = weight[rows, None]
            result[rows] += (shares @ self._w[columns]).float().mul_(factor)
            of_rows[columns] += (shares.T @ (self._x[rows] * factor).to(self._x.dtype)).float()
        return result

    def _scores(self, rows: slice, columns: slice) -> Tensor:
        """Return one block of scores; those of copies are so low that exp gives 0."""
        scores = self._x[rows] @ self._w[columns].T
        if self._correction is not None:
            scores.add_(self._correction[columns])  # the sum is rounded, not the correction itself
        row, column = self._copies[0] - rows.start, self._copies[1] - columns.start
        inside = (row >= 0) & (row < len(scores)) & (column >= 0) & (column < scores.shape[1])
        scores[row[inside], column[inside]] = _NOTHING
        return scores


def _copies(target: Tensor, tracks: Tensor | int) -> tuple[Tensor, Tensor]:
    """Return the cells (row, column) of the scores in which the column's track is the row's target."""
    if isinstance(tracks, int):
        return torch.arange(len(target)), target.long() - tracks
    ordered, order = tracks.sort()
    first, end = torch.searchsorted(ordered, target), torch.searchsorted(ordered, target, right=True)
    count = end - first
    row = torch.repeat_interleave(torch.arange(len(target)), count)
    nth = torch.arange(len(row)) - (count.cumsum(0) - count)[row]  # counts the copies of each target from 0
    return row, order[first[row] + nth]


def _log_sum(scores: Tensor, shares: Tensor) -> Tensor:
    """Return log of the sum of exp(scores) of each row, float32: score - log(share), the same in every column.

    The larger the share, the better its rounding: the largest of the first few columns is taken, and of all columns if
    those are 0.
    """
    for few in (_FEW, scores.shape[1]):
        best, column = shares[:, :few].max(1)
        if bool((best > 0).all()):
            break
    return scores.gather(1, column[:, None])[:, 0].float() - best.float().log()
