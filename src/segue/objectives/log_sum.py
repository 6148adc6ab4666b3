"""The part of a softmax that costs: the log of the sum of exp(score) over many tracks, for each of many states."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from segue.objectives.blocked import BlockedLogSum
from segue.objectives.shapes import Float, Int

NOTHING = -1e30
"""Stands for the log of nothing: finite, so that gradients are finite."""
WIDEST_KERNEL = 256
"""Largest D that the GPU kernels hold."""


def log_sum_of_others(
    states: Float[Tensor, "N D"],
    rows: Float[Tensor, "M D"],
    target: Int[Tensor, " N"],
    tracks: Int[Tensor, " M"],
    correction: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, " N"]:
    """Return log of the sum over the M rows of exp(state . row + correction), without the rows of the target.

    Args:
        states: one for each of N positions.
        rows: table rows of M tracks.
        target: the track that is left out for each state; 0 = the position has no target, and its result has no
            meaning.
        tracks: which track each row is.
        correction: added to scores.

    Products are rounded to the type of autocast where it is on, and sums are float32 at least. Scores are never all in
    memory: they are made block by block (CPU) or tile by tile (GPU), again in the backward pass where they are many.
    """
    if in_tiles(states):
        from segue.objectives.triton_log_sum import kernel_log_sum

        others: Tensor = kernel_log_sum(states, rows, target, tracks, correction, product_type(states))[1]
        return others
    if states.dtype == torch.float32 and states.device.type == "cpu":
        others = BlockedLogSum.apply(states, rows, target, tracks, correction, product_type(states))[1]  # type: ignore[no-untyped-call]
        return others
    scores = states @ rows.to(states.dtype).T
    if correction is not None:
        scores = scores + correction
    return scores.masked_fill(tracks == target[:, None], NOTHING).logsumexp(dim=1)


def scores_against_all(
    states: Float[Tensor, "N D"],
    table_rows: Float[Tensor, "R D"],
    target: Int[Tensor, " N"],
    specials: int,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Return the score of each target, and `log_sum_of_others` over all tracks, rows `specials` and later of the table.

    Both have one gradient in the table, so that it is held only once.
    """
    if in_tiles(states):
        from segue.objectives.triton_log_sum import kernel_log_sum

        both: tuple[Tensor, Tensor] = kernel_log_sum(states, table_rows, target, specials, None, product_type(states))
        return both
    if states.dtype == torch.float32 and states.device.type == "cpu":
        both = BlockedLogSum.apply(states, table_rows, target, specials, None, product_type(states))  # type: ignore[no-untyped-call]
        return both
    scores = states @ table_rows[specials:].to(states.dtype).T
    column = (target.long() - specials).clamp(min=0)[:, None]
    return scores.gather(1, column)[:, 0], scores.scatter(1, column, NOTHING).logsumexp(dim=1)


def product_type(states: Tensor) -> torch.dtype:
    """Return the type that products are rounded to: that of autocast where it is on, else that of the states."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def in_tiles(states: Tensor) -> bool:
    """Return whether scores are made by the GPU kernels: where products have 16 bits.

    Tiles of 32-bit rows do not fit into the shared memory of a multiprocessor.
    """
    return on_kernels(states) and product_type(states).itemsize == 2


def on_kernels(states: Tensor) -> bool:
    """Return whether the GPU kernels can take the states: float32 on CUDA, D a power of two from 16 to 256."""
    width = states.shape[-1]
    fits = width & (width - 1) == 0 and 16 <= width <= WIDEST_KERNEL and states.dtype == torch.float32
    return fits and states.device.type == "cuda" and importlib.util.find_spec("triton") is not None
