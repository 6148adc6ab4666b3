"""A batch of sessions of different lengths, stored one after another without padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from segue import skips
from segue.axes import Bool, Int
from segue.store import PAD


@dataclass(frozen=True)
class Padded:
    """The sessions of a batch as rows of a matrix, padded on the right."""

    tracks: Int[Tensor, "B L"]
    """PAD on padding."""
    feedback: Int[Tensor, "B L"]
    """FEEDBACK_HIDDEN on padding."""
    valid: Bool[Tensor, "B L"]
    """Where there is a track."""


@dataclass(frozen=True)
class History:
    """What an encoder reads of listeners: sequences of plays across sessions, with the positions of a batch."""

    sequences: Batch
    """As if each were one session."""
    place: Int[Tensor, " N"]
    """Where each position of the sessions stands in them."""


@dataclass(frozen=True)
class Batch:
    """B sessions whose positions lie one after another in listening order.

    Positions of session b are offsets[b]..offsets[b + 1] - 1. N may exceed offsets[B]: the positions after the last
    session are PAD, belong to no session, and change nothing. A session without tracks that is to be ranked has one
    position that holds PAD.
    """

    tracks: Int[Tensor, " N"]
    """Table rows as the encoder reads them: 0 PAD, 1 UNKNOWN, 2 MASK, tracks from 3."""
    feedback: Int[Tensor, " N"]
    """Strength 0..3, 4 unknown, 5 hidden (masked, or to be predicted)."""
    position: Int[Tensor, " N"]
    """Row of the learned positions that each position reads."""
    offsets: Int[Tensor, " C"]
    """First position of each session, then the end of the last: C = B + 1."""
    longest: int
    """At least the number of positions of the longest session; at least 1."""
    side: Mapping[str, Tensor] = field(default_factory=dict)
    """What inputs read of each position, by input, [N, ...]."""
    session_side: Mapping[str, Tensor] = field(default_factory=dict)
    """What inputs read of each session, by input, [B, ...]."""
    history: History | None = None
    """What an encoder of histories reads in place of the sessions; None = the sessions."""

    @property
    def num_sessions(self) -> int:
        """B."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " B"]:
        """Number of positions of each session."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def last(self) -> Int[Tensor, " B"]:
        """Index of each session's last position."""
        return (self.offsets[1:] - 1).long()

    @cached_property
    def session(self) -> Int[Tensor, " N"]:
        """The session of each position; B after the last session."""
        index = torch.arange(len(self.tracks), device=self.tracks.device)
        return torch.searchsorted(self.offsets.long(), index, right=True) - 1

    @cached_property
    def cells(self) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """The index of the position in each cell of a padded matrix, and where there is one.

        Padding reads the session's last position, so that a NaN stays within its session.
        """
        column = torch.arange(self.longest, device=self.offsets.device)
        inside = column < self.lengths[:, None]
        last = (self.offsets[1:, None] - 1).clamp(min=0)
        return (self.offsets[:-1, None] + column).minimum(last).long(), inside

    @cached_property
    def slot(self) -> Int[Tensor, " N"]:
        """The cell of each position in a padded matrix, session * longest + column; 0 after the last session."""
        index = torch.arange(len(self.tracks), device=self.tracks.device)
        session = self.session.clamp(max=self.num_sessions - 1)
        cell = session * self.longest + index - self.offsets[session]
        return cell.masked_fill(index >= self.offsets[-1], 0)

    @cached_property
    def padded(self) -> Padded:
        """The sessions as rows of a matrix."""
        source, inside = self.cells
        tracks = self.tracks[source].masked_fill(~inside, PAD).long()
        feedback = self.feedback[source].masked_fill(~inside, skips.FEEDBACK_HIDDEN).long()
        return Padded(tracks, feedback, inside & (tracks != PAD))

    def recent(self, keep: int) -> Batch:
        """Return the batch with the last `keep` positions of each session, their positions counted from 0."""
        if self.longest <= keep:
            return self
        lengths = self.lengths.clamp(max=keep)
        return self.cut(self.offsets[1:] - lengths, lengths, keep)

    def cut(self, first: Int[Tensor, " B"], lengths: Int[Tensor, " B"], longest: int) -> Batch:
        """Return the batch of `lengths` positions of each session from index `first` on, counted from 0.

        After the end of a session its last position is repeated. `longest`: at least the largest of `lengths`.
        """
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        session = torch.repeat_interleave(torch.arange(self.num_sessions, device=offsets.device), lengths)
        position = torch.arange(len(session), device=offsets.device) - offsets[session]
        source = (first[session] + position).minimum(self.last[session])
        side = {name: values[source] for name, values in self.side.items()}
        history = None if self.history is None else replace(self.history, place=self.history.place[source])
        return replace(
            self, tracks=self.tracks[source], feedback=self.feedback[source], position=position, offsets=offsets,
            longest=longest, side=side, history=history,
        )  # fmt: skip
