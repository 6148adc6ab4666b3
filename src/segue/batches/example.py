"""The examples of one training step: a batch, and the track to predict at each position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from segue import skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch, History
from segue.batches.data import SessionData
from segue.objectives.roles import next_listened
from segue.store import MASK, UNKNOWN

TargetRule = Literal["next", "listened", "next_listened", "avoid_skipped", "next_day"]


@dataclass(frozen=True)
class ExampleConfig:
    """How sessions become examples."""

    masked: bool
    """Cloze: some tracks are replaced by MASK and are predicted. Otherwise (causal) each position predicts the track
    after it."""
    max_len: int
    """Rows of learned positions."""
    width: int
    """W, most tracks of a window: `max_len`, and one more if causal, whose last track is a target only."""
    replaced_share: float
    """Share of positions at which the encoder reads MASK (cloze) or UNKNOWN (causal) instead of the track."""
    shifted: bool
    """Whether positions are shifted by a uniform offset in 0..max_len - number of positions. Without it the last rows
    of the learned positions are used at inference but never trained (method, section 3)."""

    @property
    def longest(self) -> int:
        """Most positions of a session."""
        return self.width - (not self.masked)

    @property
    def special_row(self) -> int:
        """Table row that replaces tracks."""
        return MASK if self.masked else UNKNOWN


@dataclass(frozen=True)
class ExampleDraws:
    """Uniform numbers in [0, 1) of one batch, drawn before the example is made."""

    offset: Float[Tensor, " B"] | None
    replaced: Float[Tensor, " P"] | None
    """For each position; with histories, for each of their places."""
    later: Float[Tensor, " N"] | None = None
    num_places: int = 0
    """T, room for the places of histories."""
    side: Mapping[str, Tensor] = field(default_factory=dict)
    """[B, K] for each input that hides some of its values."""


@dataclass(frozen=True)
class Window:
    """The training windows of B sessions, padded on the right to W columns."""

    id_index: Int[Tensor, "B W"]
    """Where in `Example.ids` the track of each position stands; 0 on padding."""
    tracks: Int[Tensor, "B W"]
    """Original table rows; PAD on padding."""
    feedback: Int[Tensor, "B W"]
    """Feedback codes; hidden on padding."""

    @property
    def valid(self) -> Bool[Tensor, "B W"]:
        """Where there is a track."""
        return self.tracks != 0


@dataclass(frozen=True)
class Example:
    """A batch of B sessions and its targets."""

    batch: Batch
    ids: Int[Tensor, " P"]
    """Original table rows of the N positions, then (causal) the last track of each session, which is a target only."""
    replaced: Bool[Tensor, " N"] | None
    """Where the encoder reads the special row; None = nowhere."""
    target: Int[Tensor, " N"]
    """Table row to predict at each position; 0 = none."""
    target_place: Int[Tensor, " N"]
    """Where in `ids` the target stands; 0 where there is none. No two targets stand at the same place."""
    target_feedback: Int[Tensor, " N"]
    """Feedback code of the target; hidden where there is none. The encoder does not read it."""
    window: Window
    following: Int[Tensor, " N"] | None = None
    """Table row of the track after each position, where targets are others; 0 = none."""


def draw_example(
    config: ExampleConfig, data: SessionData, size: tuple[int, int], generator: torch.Generator, num_places: int = 0
) -> ExampleDraws:
    """Return the random numbers of a batch of `size` = (B sessions, N positions)."""
    sessions, positions = size
    device = data.tracks.device
    offset = torch.rand(sessions, generator=generator, device=device) if config.shifted else None
    share = config.masked or config.replaced_share > 0.0
    replaced = torch.rand(num_places or positions, generator=generator, device=device) if share else None
    side = {
        name: torch.rand((sessions, values.num_draws), generator=generator, device=device)
        for name, values in data.side.items()
        if values.num_draws
    }
    later = None if data.later is None else torch.rand(positions, generator=generator, device=device)
    return ExampleDraws(offset, replaced, later, num_places, side)


def window_lengths(data: SessionData, index: Int[Tensor, "*shape"], width: int) -> Int[Tensor, "*shape"]:
    """Return how many tracks the windows (at most `width`) of training sessions `index` have; 0 for -1."""
    chosen = index.clamp(min=0)
    length = (data.train_end[chosen] - data.train_begin[chosen]).clamp(max=width)
    return length * (index >= 0)


def make_example(
    config: ExampleConfig, data: SessionData, index: Int[Tensor, " B"], num_positions: int, draws: ExampleDraws
) -> Example:
    """Return the example of training sessions `index` (-1 = none), with room for `num_positions` = N positions."""
    length = window_lengths(data, index, config.width)
    inputs = length if config.masked else (length - 1).clamp(min=0)
    offsets = functional.pad(inputs.cumsum(0), (1, 0))
    id_index = torch.arange(num_positions, device=index.device)
    # of the whole offsets: the compiler of torch 2.11 reads a slice of them from their beginning
    session = (torch.searchsorted(offsets, id_index, right=True) - 1).clamp(max=len(index) - 1)
    inside = id_index < offsets[-1]
    column = id_index - offsets[session]
    first = data.train_end[index.clamp(min=0)] - length
    row = (first[session] + column) * inside
    tracks = data.tracks[row] * inside
    feedback = data.feedback[row].int().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
    is_last = inside & (column == inputs[session] - 1)
    replaced = None if draws.replaced is None else draws.replaced < config.replaced_share
    history = None
    if data.histories is not None:
        places = data.histories.of_training(index, draws.num_places, length, (session, column))
        history = data.history_of(replace(places, place=places.place * inside), config.max_len)
        history = _hidden_in(history, data, draws)
        if replaced is not None:
            history, replaced = _replaced_in(history, replaced, config.special_row)
    if replaced is not None:
        replaced = inside & replaced
    if config.masked:
        assert replaced is not None, "cloze draws"
        replaced = replaced | is_last
        ids, target, target_place = tracks, tracks * replaced, id_index * replaced
        following = row
        target_feedback = feedback.masked_fill(~replaced, skips.FEEDBACK_HIDDEN)
        feedback = feedback.masked_fill(replaced, skips.FEEDBACK_HIDDEN)
    else:
        last_row = (data.train_end[index.clamp(min=0)] - 1) * (length > 0)
        ids = torch.cat([tracks, data.tracks[last_row] * (length > 0)])
        following = row + inside
        target = data.tracks[following] * inside
        target_place = torch.where(is_last, num_positions + session, id_index + 1) * inside
        target_feedback = data.feedback[following].int().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
    batch = Batch(
        tracks if replaced is None else tracks.masked_fill(replaced, config.special_row),
        feedback,
        (column + _shift(draws.offset, inputs, config.max_len)[session]) * inside,
        offsets,
        config.longest,
        *_side(data, index, row, session, draws),
        history,
    )
    window = _window(config, data, first, length, offsets, num_positions)
    example = Example(batch, ids, replaced, target, target_place, target_feedback, window)
    return example if draws.later is None else _with_later(example, data, row, draws.later)


def _with_later(example: Example, data: SessionData, row: Int[Tensor, " N"], uniform: Float[Tensor, " N"]) -> Example:
    """Return the example whose target at each position is one of the plays of the day after `row`."""
    assert data.later is not None
    target_row = data.later.drawn(row, uniform)
    exists = (target_row >= 0) & (example.target > 0)
    target = data.tracks[target_row.clamp(min=0)] * exists
    feedback = data.feedback[target_row.clamp(min=0)].int().masked_fill(~exists, skips.FEEDBACK_HIDDEN)
    return _with_targets(example, target, feedback)


def _with_targets(example: Example, target: Int[Tensor, " N"], feedback: Int[Tensor, " N"]) -> Example:
    """Return the example with other targets: several positions may have the same, so each gets a place of its own."""
    target_place = (len(example.ids) + torch.arange(len(target), device=target.device)) * (target > 0)
    ids = torch.cat([example.ids, target.to(example.ids.dtype)])
    return replace(
        example, ids=ids, target=target, target_place=target_place, target_feedback=feedback, following=example.target
    )


def with_rule(example: Example, rule: TargetRule, skip_at_least: int) -> Example:
    """Return the example with the targets of `rule`: see `NextTrackConfig.targets`."""
    if rule in ("next", "avoid_skipped", "next_day"):
        return example
    if rule == "listened":
        listened = ~skips.skipped(example.target_feedback, skip_at_least)
        return replace(example, target=example.target * listened, target_place=example.target_place * listened)
    window, batch = example.window, example.batch
    position, exists = next_listened(skips.listened(window.feedback, skip_at_least) & window.valid)
    session = batch.session.clamp(max=batch.num_sessions - 1)
    column = torch.arange(len(batch.tracks), device=session.device) - batch.offsets[session]
    real = example.target > 0
    cell = (session * window.tracks.shape[1] + column) * real
    target = window.tracks.gather(1, position).mul(exists).flatten()[cell] * real
    feedback = window.feedback.gather(1, position).masked_fill(~exists, skips.FEEDBACK_HIDDEN).flatten()[cell]
    return _with_targets(example, target, feedback.masked_fill(target == 0, skips.FEEDBACK_HIDDEN))


def _window(
    config: ExampleConfig, data: SessionData, first: Tensor, length: Tensor, offsets: Tensor, num_positions: int
) -> Window:
    column = torch.arange(config.width, device=first.device)
    inside = column < length[:, None]
    id_index = offsets[:-1, None] + column
    if not config.masked:
        session = torch.arange(len(first), device=first.device)[:, None]
        id_index = torch.where(column == length[:, None] - 1, num_positions + session, id_index)
    row = (first[:, None] + column) * inside
    feedback = data.feedback[row].int().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
    return Window(id_index * inside, data.tracks[row] * inside, feedback)


def _hidden_in(history: History, data: SessionData, draws: ExampleDraws) -> History:
    """Return the history with some values of inputs unknown in whole sequences, as `_side` hides them in sessions."""
    sequences = history.sequences
    sequence = sequences.session.clamp(max=sequences.num_sessions - 1)
    side = dict(sequences.side)
    for name, uniform in draws.side.items():
        if name in side:
            side[name] = data.side[name].hidden(side[name], uniform[sequence])
    return replace(history, sequences=replace(sequences, side=side))


def _replaced_in(history: History, replaced: Bool[Tensor, " T"], row: int) -> tuple[History, Bool[Tensor, " N"]]:
    """Return the history with `row` at the places `replaced`, and which positions of the batch stand at those."""
    replaced = replaced & (history.sequences.tracks > 0)
    tracks = history.sequences.tracks.masked_fill(replaced, row)
    return replace(history, sequences=replace(history.sequences, tracks=tracks)), replaced[history.place]


def _shift(uniform: Float[Tensor, " B"] | None, inputs: Int[Tensor, " B"], max_len: int) -> Int[Tensor, " B"]:
    """Return an offset in 0..max_len - inputs for each session; 0 where nothing is drawn."""
    if uniform is None:
        return torch.zeros_like(inputs)
    room = (max_len - inputs).clamp(min=0)
    return (uniform * (room + 1)).long().minimum(room)


def _side(
    data: SessionData, index: Tensor, row: Tensor, session: Tensor, draws: ExampleDraws
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the values of inputs by position and by session, some of them hidden."""
    positions: dict[str, Tensor] = {}  # not dict[str, Tensor](): torch.compile stops there
    sessions: dict[str, Tensor] = {}
    for name, side in data.side.items():
        uniform = draws.side.get(name)
        values = side.gather(data.train_session[index.clamp(min=0)] if side.per_session else row)
        if uniform is not None:
            values = side.hidden(values, uniform if side.per_session else uniform[session])
        (sessions if side.per_session else positions)[name] = values
    return positions, sessions
