"""Examples without padding: the inputs of a batch lie one after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segue import skips
from segue.axes import Bool, Float, Int
from segue.batches.context import forgotten
from segue.batches.data import SessionData
from segue.batches.example import random_offset


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
    """The training windows of B sessions (W positions each) as T inputs, one after another.

    Rows of the table are looked up for `ids`, each place once; `place` says where the row of each window position
    lies among them. T may exceed the number of inputs: what is left over is PAD and has no target.
    """

    ids: Int[Tensor, " P"]
    """Original table rows of the T inputs, then (causal) of the last track of each session; 0 where there is none."""
    position: Int[Tensor, " T"]
    """Position row of each input, the session's offset included."""
    target: Int[Tensor, " T"]
    """Table row to predict at each input; 0 = none."""
    target_place: Int[Tensor, " T"]
    """Where among `ids` the target's row lies; 0 where there is none."""
    target_feedback: Int[Tensor, " T"]
    """Feedback code of the target; hidden where there is none. It is no input."""
    feedback: Int[Tensor, " T"]
    """Feedback code of each input; hidden where it is a target (cloze)."""
    masked: Bool[Tensor, " T"]
    """Where the encoder reads a special row instead: MASK (cloze), or UNKNOWN (causal)."""
    start: Int[Tensor, " Bs"]
    """Inputs of session b are start[b]..start[b + 1] - 1; B + 1 numbers."""
    place: Int[Tensor, "B W"]
    """Where among `ids` each window position's row lies; -1 on padding."""
    tracks: Int[Tensor, "B W"]
    strength: Int[Tensor, "B W"]
    """As in `Window`."""
    context: Int[Tensor, "T C"] | None = None
    """Codes of further inputs at each input; None where there are none."""


@dataclass(frozen=True)
class _Windows:
    """The windows of a batch, padded: what is packed."""

    length: Int[Tensor, " B"]
    inside: Bool[Tensor, "B W"]
    tracks: Int[Tensor, "B W"]
    strength: Int[Tensor, "B W"]
    context: Int[Tensor, "B W C"] | None


@dataclass(frozen=True)
class Forgetting:
    """Which further inputs training does not know, see `segue.batches.context.forgotten`."""

    drawn: Float[Tensor, "B C"]
    names: tuple[str, ...]


def window_lengths(data: SessionData, index: Int[Tensor, "*shape"], width: int) -> Int[Tensor, "*shape"]:
    """Return how many tracks the windows (at most `width`) of training sessions `index` have; 0 for -1."""
    chosen = index.clamp(min=0)
    length = (data.train_end[chosen] - data.train_begin[chosen]).clamp(max=width)
    return length * (index >= 0)


def pack_causal(
    data: SessionData,
    index: Int[Tensor, " B"],
    shape: PackShape,
    drawn: Float[Tensor, " B"] | None,
    unknown: Bool[Tensor, "B W"] | None = None,
    forget: Forgetting | None = None,
) -> Packing:
    """Return the packed examples of training sessions `index` (-1 = none): each input predicts the track after it.

    Args:
        data: the rows.
        index: int64 [B].
        shape: W, T and the encoder's positions.
        drawn: uniform in [0, 1), which the positions' offsets are made of; None = no offsets.
        unknown: where the encoder reads UNKNOWN; None = nowhere.
        forget: which further inputs are unknown; None where there are none.
    """
    windows = _windows(data, index, shape.width)
    inputs = (windows.length - 1).clamp(min=0)
    start = functional.pad(inputs.cumsum(0), (1, 0))
    column = torch.arange(shape.width, device=index.device)
    own = torch.arange(len(index), device=index.device)[:, None]
    is_last = column == windows.length[:, None] - 1
    place = torch.where(is_last, shape.size + own, start[:-1, None] + column)
    spare = shape.size + len(index)  # where padding is written, then cut off
    safe = place.masked_fill(~windows.inside, spare)
    source = torch.where(windows.inside[:, 1:], safe[:, :-1], spare)
    position = column + _offset(drawn, inputs, shape.max_len)
    return Packing(
        _scattered(windows.tracks, safe, spare),
        _scattered(position.expand_as(safe), safe, spare)[: shape.size],
        _scattered(windows.tracks[:, 1:], source, spare)[: shape.size],
        _scattered(safe[:, 1:], source, spare)[: shape.size],
        _scattered(windows.strength[:, 1:], source, spare, skips.FEEDBACK_HIDDEN)[: shape.size],
        _scattered(windows.strength, safe, spare, skips.FEEDBACK_HIDDEN)[: shape.size],
        torch.zeros(shape.size, dtype=torch.bool, device=index.device)
        if unknown is None
        else _scattered(unknown & windows.inside, safe, spare)[: shape.size],
        start.int(),
        place.masked_fill(~windows.inside, -1).int(),
        windows.tracks,
        windows.strength,
        _packed_context(windows, safe, spare, forget, shape.size),
    )


def _packed_context(
    windows: _Windows, place: Int[Tensor, "B W"], spare: int, forget: Forgetting | None, size: int
) -> Int[Tensor, "T C"] | None:
    if windows.context is None or forget is None:
        return None
    context = forgotten(windows.context, forget.drawn, forget.names)
    columns = [_scattered(column, place, spare)[:size] for column in context.unbind(2)]
    return torch.stack(columns, dim=1)


def pack_cloze(
    data: SessionData,
    index: Int[Tensor, " B"],
    shape: PackShape,
    drawn: Float[Tensor, " B"] | None,
    masked: Bool[Tensor, "B W"],
) -> Packing:
    """Return the packed examples of training sessions `index`: MASK at the last track and wherever `masked` says so.

    Masked positions are the targets. For the rest see `pack_causal`.
    """
    windows = _windows(data, index, shape.width)
    start = functional.pad(windows.length.cumsum(0), (1, 0))
    column = torch.arange(shape.width, device=index.device)
    place, spare = start[:-1, None] + column, shape.size
    safe = place.masked_fill(~windows.inside, spare)
    hidden = windows.inside & (masked | (column == windows.length[:, None] - 1))
    position = column + _offset(drawn, windows.length, shape.max_len)
    return Packing(
        _scattered(windows.tracks, safe, spare),
        _scattered(position.expand_as(safe), safe, spare),
        _scattered(windows.tracks * hidden, safe, spare),
        _scattered(safe * hidden, safe, spare),
        _scattered(windows.strength.masked_fill(~hidden, skips.FEEDBACK_HIDDEN), safe, spare, skips.FEEDBACK_HIDDEN),
        _scattered(windows.strength.masked_fill(hidden, skips.FEEDBACK_HIDDEN), safe, spare, skips.FEEDBACK_HIDDEN),
        _scattered(hidden, safe, spare),
        start.int(),
        place.masked_fill(~windows.inside, -1).int(),
        windows.tracks,
        windows.strength,
    )


def _windows(data: SessionData, index: Int[Tensor, " B"], width: int) -> _Windows:
    length = window_lengths(data, index, width)
    column = torch.arange(width, device=index.device)
    inside = column < length[:, None]
    first = data.train_end[index.clamp(min=0)] - length
    row = (first[:, None] + column).clamp(max=len(data.tracks) - 1)
    strength = data.feedback[row].int().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
    context = None if data.context is None else data.context[row].long()
    return _Windows(length, inside, data.tracks[row] * inside, strength, context)


def _offset(drawn: Tensor | None, inputs: Int[Tensor, " B"], max_len: int) -> Int[Tensor, "B one"]:
    return (torch.zeros_like(inputs) if drawn is None else random_offset(drawn, inputs, max_len))[:, None]


def _scattered(values: Tensor, place: Int[Tensor, "B W"], size: int, empty: int = 0) -> Tensor:
    """Return [size] values by place, `empty` where there is none; `size` itself is the place of what is not wanted."""
    return values.new_full((size + 1,), empty).scatter_(0, place.flatten(), values.flatten())[:size]
