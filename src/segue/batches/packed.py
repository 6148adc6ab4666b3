"""Causal examples without padding: the inputs of a batch lie one after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Float, Int
from segue.batches.data import SessionData
from segue.batches.example import random_offset
from segue.events import skips


@dataclass(frozen=True)
class PackShape:
    """How much a packing has room for."""

    width: int
    """W, most tracks of a window: the encoder's max_len + 1, or less where no session is longer."""
    size: int
    """T, at least the number of inputs of a batch."""
    max_len: int
    """Position rows of the encoder."""


@dataclass(frozen=True)
class Packing:
    """The training windows of B sessions (W positions each) as T inputs and, after them, B last tracks.

    Rows of the table are looked up for `ids`, each place once; `place` says where the row of each window position
    lies among them. T may exceed the number of inputs: what is left over is PAD and has no target.
    """

    ids: Int[Tensor, " P"]
    """Table rows of the T inputs, then of the last track of each session; 0 where there is none. P = T + B."""
    position: Int[Tensor, " T"]
    """Position row of each input, the session's offset included."""
    target: Int[Tensor, " T"]
    """Table row to predict at each input; 0 = none."""
    target_place: Int[Tensor, " T"]
    """Where among `ids` the target's row lies; 0 where there is none."""
    start: Int[Tensor, " Bs"]
    """Inputs of session b are start[b]..start[b + 1] - 1; B + 1 numbers."""
    place: Int[Tensor, "B W"]
    """Where among `ids` each window position's row lies; -1 on padding."""
    tracks: Int[Tensor, "B W"]
    strength: Int[Tensor, "B W"]
    """As in `Window`."""


def num_inputs(data: SessionData, index: Int[Tensor, "*shape"], width: int) -> Int[Tensor, "*shape"]:
    """Return how many inputs the windows (at most `width` tracks) of training sessions `index` have; 0 for -1."""
    chosen = index.clamp(min=0)
    length = (data.train_end[chosen] - data.train_begin[chosen]).clamp(max=width)
    return (length - 1).clamp(min=0) * (index >= 0)


def pack_causal(
    data: SessionData, index: Int[Tensor, " B"], shape: PackShape, drawn: Float[Tensor, " B"] | None
) -> Packing:
    """Return the packed examples of training sessions `index` (-1 = none): each input predicts the track after it.

    Args:
        data: the rows.
        index: int64 [B].
        shape: W, T and the encoder's positions.
        drawn: uniform in [0, 1), which the positions' offsets are made of; None = no offsets.
    """
    width, size = shape.width, shape.size
    inputs = num_inputs(data, index, width)
    start = functional.pad(inputs.cumsum(0), (1, 0))
    end = data.train_end[index.clamp(min=0)]
    length = torch.where(index >= 0, (end - data.train_begin[index.clamp(min=0)]).clamp(max=width), 0)
    column = torch.arange(width, device=index.device)
    inside = column < length[:, None]
    row = ((end - length)[:, None] + column).clamp(max=len(data.tracks) - 1)
    tracks = data.tracks[row] * inside
    strength = data.feedback[row].int().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
    is_last = column == length[:, None] - 1
    own = torch.arange(len(index), device=index.device)[:, None]
    place = torch.where(is_last, size + own, start[:-1, None] + column)
    spare = size + len(index)  # where padding is written, then cut off
    safe = place.masked_fill(~inside, spare)
    source = torch.where(inside[:, 1:], safe[:, :-1], spare)
    offset = 0 if drawn is None else random_offset(drawn, inputs, shape.max_len)[:, None]
    ids = tracks.new_zeros(spare + 1).scatter_(0, safe.flatten(), tracks.flatten())
    position = index.new_zeros(spare + 1).scatter_(0, safe.flatten(), (column + offset).expand_as(safe).flatten())
    target = tracks.new_zeros(spare + 1).scatter_(0, source.flatten(), tracks[:, 1:].flatten())
    target_place = index.new_zeros(spare + 1).scatter_(0, source.flatten(), safe[:, 1:].flatten())
    return Packing(
        ids[:spare],
        position[:size],
        target[:size],
        target_place[:size],
        start.int(),
        place.masked_fill(~inside, -1).int(),
        tracks,
        strength,
    )
