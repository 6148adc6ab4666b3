"""Objectives over packed sessions with their gradients, a block of scores at a time: memory stays flat."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from segue.objectives.contrast import NORM_FLOOR
from segue.objectives.packed import Gradients, Known, Negatives, Sessions, Targets
from segue.objectives.roles import roles

_CELLS: Final = 1 << 20
"""Scores held at a time where they are few a target: 2 MB in bf16 stay near the cores."""
_ROUNDING: Final = 128
"""Targets are taken in multiples of this: a matrix product of a new shape is compiled first."""
_MOSTLY: Final = 0.8
"""Share of positions with a target above which all are taken."""
_EVERYTHING: Final = 1e30
"""A score beside which nothing else counts."""
_FEW: Final = 16
"""Columns of a block looked at for its sum."""
_WIDE: Final = 1 << 14
"""Negatives taken at a time where they are more."""


class BlockedSoftmax:
    """-log softmax of each target against M rows, copies of the target left out."""

    def __init__(self, *, bf16: bool) -> None:
        """`bf16`: round states and rows to bfloat16 for the products; sums are float32."""
        self._dtype = torch.bfloat16 if bf16 else torch.float32

    def __call__(
        self, states: Tensor, targets: Targets, negatives: Negatives, into: Tensor, scale: float = 1.0,
        known: Known | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the mean loss over the targets (0 without any), and its gradients in states and negatives.

        Args:
            states: y_hat, float32 [T, D].
            targets: what they should predict.
            negatives: what with.
            into: float32 [P, D]; the gradients in the targets' rows are added to it. The full softmax leaves it
                alone: they are in the gradient of the negatives.
            scale: of the gradients.
            known: a distribution mixed in; its gradient is written.
        """
        real = torch.nonzero(targets.ids)[:, 0]
        count = max(len(real), 1)
        few = len(real) < _MOSTLY * len(states)
        place, x, ids = targets.place, states, targets.ids
        if few:  # cloze: most positions predict nothing
            num_real = len(real)
            real = torch.nn.functional.pad(real, (0, -num_real % _ROUNDING))
            place, x, ids = place[real], states.index_select(0, real), ids[real]
            ids[num_real:] = 0  # what fills up is no target
        rows = targets.rows.index_select(0, place)
        # nothing is lost to the others where a target has all there is, and so where there is no target
        own = torch.where(ids > 0, (x * rows).sum(1), _EVERYTHING)
        rest, rivals = own, [(1.0, own)]
        if known is not None:
            masses = [mass if not few else mass.index_select(0, real) for mass in (known.target, known.whole)]
            top, rest = torch.logaddexp(own, masses[0]), torch.logaddexp(own, masses[1])
            rivals = [pair for pair in ((known.flow, rest), (known.own, own)) if pair[0] > 0.0]
        w, share = negatives.rows.to(self._dtype), scale / count
        gradient = negatives.gradient
        gradient = torch.zeros(w.shape) if gradient is None else gradient.zero_()
        blocks = _Blocks(x.to(self._dtype), w, ids, negatives, share)
        if len(w) <= _WIDE:
            others, of_x = blocks.at_once(rivals, gradient)
        else:
            others = blocks.log_sums()
            logs = [math.log(weight) - torch.logaddexp(others, rival) for weight, rival in rivals]
            of_x = blocks.gradients(-torch.logsumexp(torch.stack(logs), 0), gradient)
        losses = torch.nn.functional.softplus(others - rest)
        pull = torch.sigmoid(others - own)
        if known is not None:
            whole = torch.logaddexp(others, rest)
            losses = losses + (rest - top) + known.own * torch.nn.functional.softplus(others - own)
            pull = known.flow * (torch.exp(own - top) - torch.exp(own - whole)) + known.own * pull
            of_gate = (torch.exp(masses[1] - whole) - torch.exp(masses[0] - top)).masked_fill_(ids == 0, 0.0) * share
            known.gradient.copy_(torch.zeros_like(known.target).index_add_(0, real, of_gate) if few else of_gate)
        pull = pull[:, None] * share
        of_x.addcmul_(pull, rows, value=-1.0)
        of_targets = (pull * x).neg_()
        if isinstance(negatives.ids, int):
            own_row = (ids.long() - negatives.ids).clamp(min=0)
            gradient.index_add_(0, own_row, of_targets)
        else:
            into.index_add_(0, place, of_targets)
        of_states = torch.zeros_like(states).index_add_(0, real, of_x) if few else of_x
        return losses.sum() / count, of_states, gradient


class _Blocks:
    """The scores of one call, block by block."""

    def __init__(self, x: Tensor, w: Tensor, ids: Tensor, negatives: Negatives, share: float) -> None:
        self._x, self._w, self._negatives, self._share = x, w, negatives, share
        self._wide = min(len(w), _WIDE)
        self._tall = max(1, _CELLS // max(self._wide, 1))
        self._own = _Copies(ids, negatives.ids)

    def log_sums(self) -> Tensor:
        """Return the log of the sum over negatives of exp(score), float32 [T]."""
        whole = torch.full((len(self._x),), -torch.inf)
        for rows, columns in self._places():
            whole[rows] = torch.logaddexp(whole[rows], torch.logsumexp(self._scores(rows, columns).float(), 1))
        return whole

    def gradients(self, whole: Tensor, into: Tensor) -> Tensor:
        """Return the gradients in the states, and add those in the rows of the negatives to `into`."""
        result = torch.zeros(self._x.shape)
        for rows, columns in self._places():
            shares = self._scores(rows, columns).float().sub_(whole[rows, None]).exp_().mul_(self._share)
            shares = shares.to(self._x.dtype)
            result[rows] += shares @ self._w[columns]
            into[columns] += shares.T @ self._x[rows]
        return result

    def at_once(self, rivals: list[tuple[float, Tensor]], into: Tensor) -> tuple[Tensor, Tensor]:
        """Return log sums and gradients in the states of few negatives, whose scores are made only once.

        `rivals`: weight of each softmax, and log of all that they share with in it.
        """
        others, result = torch.empty(len(self._x)), torch.empty(self._x.shape)
        columns = slice(0, len(self._w))
        for begin in range(0, len(self._x), self._tall):
            rows = slice(begin, begin + self._tall)
            scores = self._scores(rows, columns)
            shares = scores.softmax(1)  # among the negatives alone
            log_sum = _log_sum(scores, shares)
            others[rows] = log_sum
            scale = torch.zeros_like(log_sum)
            for weight, rival in rivals:
                scale.add_(torch.sigmoid(log_sum - rival[rows]), alpha=weight * self._share)
            scale = scale[:, None]
            result[rows] = (shares @ self._w).float().mul_(scale)
            into += (shares.T @ (self._x[rows] * scale).to(self._x.dtype)).float()
        return others, result

    def _places(self) -> list[tuple[slice, slice]]:
        return [
            (slice(t, t + self._tall), slice(n, n + self._wide))
            for n in range(0, len(self._w), self._wide)
            for t in range(0, len(self._x), self._tall)
        ]

    def _scores(self, rows: slice, columns: slice) -> Tensor:
        scores = self._x[rows] @ self._w[columns].T
        if self._negatives.correction is not None:
            scores.add_(self._negatives.correction[columns])  # the sum is rounded, not the correction itself
        self._own.leave_out(scores, rows, columns)
        return scores


class _Copies:
    """Which negatives are copies of a target."""

    def __init__(self, target: Tensor, ids: Tensor | int) -> None:
        if isinstance(ids, Tensor):
            ordered, order = ids.sort()
            first, last = torch.searchsorted(ordered, target), torch.searchsorted(ordered, target, right=True)
            count = last - first
            self._row = torch.repeat_interleave(torch.arange(len(target)), count)
            nth = torch.arange(len(self._row)) - (count.cumsum(0) - count)[self._row]
            self._column = order[first[self._row] + nth]
        else:
            self._row, self._column = torch.arange(len(target)), target.long() - ids

    def leave_out(self, scores: Tensor, rows: slice, columns: slice) -> None:
        """Set the scores of copies within a block as low as nothing else; all left out is as good as none."""
        row, column = self._row - rows.start, self._column - columns.start
        inside = (row >= 0) & (row < len(scores)) & (column >= 0) & (column < scores.shape[1])
        scores[row[inside], column[inside]] = -1e30


def _log_sum(scores: Tensor, shares: Tensor) -> Tensor:
    """Return log of the sum of exp(scores) of each row, from a score and its share of the softmax.

    Any column tells it as exactly as the shares are rounded; of the first ones the largest is looked at.
    """
    for few in (_FEW, scores.shape[1]):
        best, place = shares[:, :few].max(1)
        if bool((best > 0).all()):
            break
    return scores.gather(1, place[:, None])[:, 0].float() - best.float().log()


def skip_term(
    rows: Tensor, states: Tensor | None, sessions: Sessions, temperature: float, into: Gradients, scale: float = 1.0
) -> Tensor:
    """Return `skip_contrastive_loss` of sessions whose rows lie anywhere, and add its gradients times `scale`.

    See `segue.objectives.packed` for what is what; `states` None: the context is the anchor's own row. The
    gradients are written out.
    """
    chosen = roles(sessions.heard)
    negative, positive, anchor = chosen.negative, chosen.positive, chosen.anchor
    inside, count = sessions.place >= 0, anchor.sum().clamp(min=1)
    place = sessions.place.clamp(min=0).long()
    unit, norm = _units(rows, place)
    context, context_norm = (unit, norm) if states is None else _units(states, place.clamp(max=len(states) - 1))
    cosine = torch.bmm(context, unit.transpose(1, 2)).div_(temperature)  # [B, W (anchor), W (other)]
    cosine -= cosine.gather(2, positive[:, :, None])
    margins = cosine.masked_fill_(~negative, -torch.inf)
    peak = margins.amax(2, keepdim=True).clamp_(min=0.0)
    shares = margins.sub_(peak).exp_()
    # -log(f(p) / (f(p) + sum f(n))) = log(1 + sum exp(n - p)); `whole` is that sum over exp(peak)
    whole = shares.sum(2, keepdim=True) + torch.exp(-peak)
    losses = (peak + whole.log())[:, :, 0].masked_fill(~anchor, 0.0)
    shares.mul_(anchor[:, :, None] / whole).mul_(scale / (temperature * count))
    of_scores = shares.scatter_add_(2, positive[:, :, None], -shares.sum(2, keepdim=True))
    of_unit = torch.bmm(of_scores.transpose(1, 2), context)
    of_context = torch.bmm(of_scores, unit)
    if states is None:
        of_unit += of_context
    else:
        mine = anchor & (place < len(states))
        into.states.index_add_(0, place[mine], _through_norm(of_context, context, context_norm)[mine])
    into.rows.index_add_(0, place[inside], _through_norm(of_unit, unit, norm)[inside])
    return losses.sum() / count


def _units(rows: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows at `place` made unit, and their norms [B, W, 1], clamped from below."""
    chosen = rows.index_select(0, place.flatten()).view(*place.shape, -1)
    norm = torch.linalg.vector_norm(chosen, dim=2, keepdim=True).clamp_(min=NORM_FLOOR)
    return chosen.div_(norm), norm


def _through_norm(gradient: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    """Return the gradient in rows of that in their units."""
    along = (gradient * unit).sum(2, keepdim=True)
    return gradient.addcmul_(unit, along, value=-1.0).div_(norm)
