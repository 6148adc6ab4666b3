"""The rows of a store on a device, and batches of the contexts of held-out targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import skips
from segue.axes import Int, UInt8
from segue.batch import Batch, History
from segue.batches.held_out import Cases
from segue.batches.histories import Histories, Places
from segue.batches.later_plays import LaterPlays
from segue.batches.side_data import SideData
from segue.batches.split import Split, visible_strength
from segue.store import Store


@dataclass(frozen=True)
class SessionData:
    """Flat rows on one device: 5 bytes a row, and the ranges that train."""

    tracks: Int[Tensor, " rows"]
    """Original table rows, int32."""
    feedback: UInt8[Tensor, " rows"]
    """Feedback codes, uint8."""
    input_row: Int[Tensor, " R"]
    """Table row to the row that a model reads, int32."""
    train_begin: Int[Tensor, " Nt"]
    train_end: Int[Tensor, " Nt"]
    train_session: Int[Tensor, " Nt"]
    """Session of each training part, as an index of the store."""
    side: Mapping[str, SideData] = field(default_factory=dict)
    """Values of the inputs and heads that read more than tracks and feedback, by name."""
    histories: Histories | None = None
    """Where the encoder reads histories of listeners."""
    later: LaterPlays | None = None
    """Where targets are the plays of the day after: what those are."""

    @classmethod
    def load(
        cls, store: Store, split: Split, device: torch.device | str, side: Mapping[str, SideData] | None = None
    ) -> SessionData:
        """Return the rows of `store` and the training parts of `split`, on `device`; `side` as `load_side` gives it."""
        strength = visible_strength(store, split)
        feedback = np.where(strength > skips.VERY_BRIEFLY, skips.FEEDBACK_UNKNOWN, strength).astype(np.uint8)
        train_session = np.searchsorted(np.asarray(store.offsets), split.train_begin, side="right") - 1
        return cls(
            tracks=_on(np.array(store.tracks, dtype=np.int32), device),
            feedback=_on(feedback, device),
            input_row=_on(split.input_row, device),
            train_begin=_on(split.train_begin, device),
            train_end=_on(split.train_end, device),
            train_session=_on(train_session, device),
            side=dict(side or {}),
        )

    @cached_property
    def _training_rows(self) -> tuple[Int[Tensor, " Nt"], Int[Tensor, " Nt"], int]:
        """Training rows up to and with those of each session, what leads from their numbers to rows, and their sum."""
        ends = (self.train_end - self.train_begin).cumsum(0)
        return ends, self.train_end - ends, int(ends[-1])

    def draw_plays(self, shape: tuple[int, ...], generator: torch.Generator) -> Int[Tensor, "*shape"]:
        """Return the tracks of training rows drawn uniformly, with replacement, int64: each as often as it is played.

        Rows are those of training parts, their last track included.
        """
        ends, shift, total = self._training_rows
        number = torch.randint(total, shape, generator=generator, device=ends.device)
        session = torch.searchsorted(ends, number, right=True)
        return self.tracks[number + shift[session]].long()

    def context_batch(self, cases: Cases, index: NDArray[np.int64], max_len: int) -> Batch:
        """Return the contexts of the targets of `cases[index]`: the last `max_len` positions before each.

        Tracks are mapped to what a model reads (UNKNOWN where the vocabulary rule says so).
        """
        end = cases.target[index]
        first = np.maximum(cases.begin[index], end - max_len)
        lengths = end - first
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        position = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        rows = _on(np.repeat(first, lengths) + position, self.tracks.device)
        positions = {name: side.gather(rows) for name, side in self.side.items() if not side.per_session}
        sessions = _on(cases.session[index], self.tracks.device)
        return Batch(
            self.input_row[self.tracks[rows]].long(),
            self.feedback[rows].long(),
            _on(position, self.tracks.device),
            _on(offsets, self.tracks.device),
            int(lengths.max(initial=1)),
            positions,
            {name: side.gather(sessions) for name, side in self.side.items() if side.per_session},
            None if self.histories is None else self.history_of(self.histories.before(cases, index, lengths), max_len),
        )

    def history_of(self, places: Places, max_len: int) -> History:
        """Return what an encoder reads at `places`; the learned positions end at `max_len`."""
        inside = torch.arange(len(places.row), device=places.row.device) < places.offsets[-1]
        tracks = self.input_row[self.tracks[places.row].long()].long() * inside
        feedback = self.feedback[places.row].long().masked_fill(~inside, skips.FEEDBACK_HIDDEN)
        side = {name: side.gather(places.row) for name, side in self.side.items() if not side.per_session}
        position = places.column.clamp(max=max_len - 1)
        return History(Batch(tracks, feedback, position, places.offsets, places.longest, side), places.place)


def _on(array: NDArray[np.generic], device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
