"""The scores of tracks that a session already holds, where copying takes their place in the softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.losses.loss_inputs import LossInputs
from segue.objectives import LeftOut, Negatives
from segue.objectives.log_sum import NOTHING, product_type
from segue.store import NUM_SPECIALS


def left_out(inputs: LossInputs) -> LeftOut | None:
    """Return what the tracks before each target have in the sum of the softmax; None where no head takes their place.

    Among sampled negatives a track counts as often as it was drawn, corrected as there.
    """
    if inputs.mixture is None or not inputs.mixture.in_place:
        return None
    batch, dtype = inputs.example.batch, product_type(inputs.states)
    source, inside = batch.cells
    tracks, target = batch.padded.tracks, inputs.example.target[source][:, :, None]
    column = torch.arange(tracks.shape[1], device=tracks.device)
    counted = (column <= column[:, None]) & _first(tracks, inside & (tracks >= NUM_SPECIALS))[:, None, :]
    is_target = tracks[:, None, :] == target
    wide = torch.float32 if dtype.itemsize == 2 else dtype
    states, rows = (part.to(dtype).to(wide)[source] for part in (inputs.states, inputs.position_rows))
    with inputs.exact():
        scores = states @ rows.transpose(1, 2)
    if isinstance(inputs.negatives, Negatives):
        scores = scores + _drawn(tracks, inputs.negatives)[:, None, :]
    rivals = counted & ~is_target
    log_sum = scores.masked_fill(~rivals, NOTHING).logsumexp(2)
    log_sum = torch.where(rivals.any(2), log_sum, NOTHING)
    return LeftOut(inputs.flat(log_sum), (counted & is_target).any(2).flatten()[batch.slot])


def _first(tracks: Int[Tensor, "B L"], real: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """Return which real positions hold a track for the first time in their session."""
    again = (tracks[:, :, None] == tracks[:, None, :]).tril(-1).any(2)
    return real & ~again


def _drawn(tracks: Int[Tensor, "B L"], negatives: Negatives) -> Float[Tensor, "B L"]:
    """Return log(times that each track was drawn), plus its correction; NOTHING where it was not."""
    ordered, order = negatives.tracks.sort()
    wanted = tracks.to(ordered.dtype)
    first, end = (torch.searchsorted(ordered, wanted, right=right) for right in (False, True))
    times = end - first
    result = torch.log(times.clamp(min=1).float())
    if negatives.correction is not None:
        result = result + negatives.correction[order[first.clamp(max=len(order) - 1)]]
    return result.masked_fill(times == 0, NOTHING)
