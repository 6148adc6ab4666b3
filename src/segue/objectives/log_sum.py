"""The costly part of a softmax: for each of many states, the log of the sum of exp(score) over many tracks.

Three implementations give the same result: blocks of scores (`blocked`, float32 on a CPU), GPU kernels
(`triton_log_sum`, 16-bit products), and one matrix of all scores (everything else).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from segue.objectives.blocked import BlockedLogSum
from segue.objectives.shapes import Float, Int

NOTHING = -1e30
"""Stands for log 0: finite, so that gradients are finite."""
WIDEST_KERNEL = 256
"""Largest D of the GPU kernels."""
HAS_TRITON: Final = find_spec("triton") is not None
"""Whether GPU kernels can be imported. Asked once: a compiled function cannot ask."""


def log_sum_of_others(
    states: Float[Tensor, "N D"],
    rows: Float[Tensor, "M D"],
    target: Int[Tensor, " N"],
    tracks: Int[Tensor, " M"],
    correction: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, " N"]:
    """Return log of the sum of exp(state . row + correction) over the M rows, without the rows of the target, [N].

    Args:
        states: one for each of N positions.
        rows: table rows of M tracks.
        target: the track that is left out for each state. 0: the position has no target, and its result no meaning.
        tracks: the track of each row.
        correction: added to the score of each row.

    Products are rounded to the type of autocast where it is on; sums are float32 at least. On a CPU and on a GPU the
    scores are computed in blocks that are never all in memory, and again in the backward pass if they are many.
    """
    return _scores_and_log_sums(states, rows, target, tracks, correction)[1]


def kernel_scores(
    states: Float[Tensor, "N D"],
    target_rows: Float[Tensor, "N D"],
    rows: Float[Tensor, "M D"],
    target: Int[Tensor, " N"],
    tracks: Int[Tensor, " M"],
    correction: Float[Tensor, " M"] | None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]] | None:
    """Return the score of each target and `log_sum_of_others`, if GPU kernels compute them: then with one gradient."""
    if not in_tiles(states):
        return None
    from segue.objectives.triton_log_sum import kernel_log_sum

    both: tuple[Tensor, Tensor] = kernel_log_sum(
        states, rows, target, (tracks, correction), product_type(states), target_rows
    )
    return both


def scores_against_all(
    states: Float[Tensor, "N D"],
    table_rows: Float[Tensor, "R D"],
    target: Int[Tensor, " N"],
    specials: int,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Return the score of each target, and the log of the sum of exp(score) over all other tracks, both [N].

    Row t of the table is track t; the first `specials` rows are not tracks. The score of a position without a target
    (0) has no meaning. Both results share one gradient in the table, so that only one copy of it is in memory.
    """
    return _scores_and_log_sums(states, table_rows, target, specials, None)


def _scores_and_log_sums(
    states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return (score of each target, log of the sum over the other rows), [N] each.

    `tracks`: the track of each row, and then the scores are 0; or the number of special rows of a whole table.
    """
    both: tuple[Tensor, Tensor]
    if in_tiles(states):
        from segue.objectives.triton_log_sum import kernel_log_sum

        both = kernel_log_sum(states, rows, target, (tracks, correction), product_type(states))
        return both
    if states.dtype == torch.float32 and states.device.type == "cpu":
        both = BlockedLogSum.apply(states, rows, target, tracks, correction, product_type(states))  # type: ignore[no-untyped-call]
        return both
    if isinstance(tracks, int):
        scores = states @ rows[tracks:].to(states.dtype).T
        column = (target.long() - tracks).clamp(min=0)[:, None]
        return scores.gather(1, column)[:, 0], scores.scatter(1, column, NOTHING).logsumexp(dim=1)
    scores = states @ rows.to(states.dtype).T
    if correction is not None:
        scores = scores + correction
    return torch.zeros_like(scores[:, 0]), scores.masked_fill(tracks == target[:, None], NOTHING).logsumexp(dim=1)


def product_type(states: Tensor) -> torch.dtype:
    """Return the type that products are rounded to: that of autocast where it is on, else that of the states."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def in_tiles(states: Tensor) -> bool:
    """Return whether the GPU kernels compute the scores: they do if products have 16 bits.

    Tiles of 32-bit rows do not fit into the shared memory of a multiprocessor.
    """
    return kernels_fit(states) and product_type(states).itemsize == 2


def kernels_fit(states: Tensor) -> bool:
    """Return whether GPU kernels can read the states: float32 on CUDA, D a power of two from 16 to 256."""
    width = states.shape[-1]
    fits = width & (width - 1) == 0 and 16 <= width <= WIDEST_KERNEL and states.dtype == torch.float32
    return HAS_TRITON and fits and states.device.type == "cuda"
