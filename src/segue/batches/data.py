"""The rows of a store on a device, and the gathers that make batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import skips
from segue.axes import Bool, Int, UInt8
from segue.batches.context import context_codes
from segue.batches.earlier import Earlier
from segue.batches.split import Cases, Split, visible_strength
from segue.columns import CONTEXT, EARLIER_FEEDBACK, EARLIER_TRACKS
from segue.session_batch import SessionBatch
from segue.store import PAD, Store


@dataclass(frozen=True)
class Window:
    """The most recent training tracks of B sessions, right-padded to W columns."""

    tracks: Int[Tensor, "B W"]
    """Original table rows (0 on padding)."""
    strength: Int[Tensor, "B W"]
    """Feedback codes: strength 0..3, 4 unknown, 5 on padding."""
    valid: Bool[Tensor, "B W"]
    context: Int[Tensor, "B W C"] | None = None
    """Codes of the inputs of `data.context`; anything on padding."""
    earlier: Mapping[str, Tensor] = field(default_factory=dict)
    """What came in earlier sessions, by its names in `SessionBatch.side`; empty where no encoder reads it."""


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
    context: UInt8[Tensor, "rows C"] | None = None
    """Codes of the inputs of `data.context`, uint8; None where there are none."""
    earlier: Earlier | None = None
    num_earlier: int = 0
    """Most tracks of earlier sessions."""

    @classmethod
    def load(
        cls, store: Store, split: Split, device: torch.device | str, context: Sequence[str] = (), earlier: int = 0
    ) -> SessionData:
        """Return the rows of `store` and the training parts of `split`, on `device`.

        `context` names further inputs; `earlier`: most tracks of earlier sessions that are read.
        """
        strength = visible_strength(store, split)
        feedback = np.where(strength > skips.VERY_BRIEFLY, skips.FEEDBACK_UNKNOWN, strength).astype(np.uint8)
        return cls(
            tracks=_on(np.array(store.tracks, dtype=np.int32), device),
            feedback=_on(feedback, device),
            input_row=_on(split.input_row, device),
            train_begin=_on(split.train_begin, device),
            train_end=_on(split.train_end, device),
            context=_on(context_codes(store, context), device) if context else None,
            earlier=Earlier.find(store, split, device) if earlier else None,
            num_earlier=earlier,
        )

    @property
    def num_training(self) -> int:
        """Number of sessions with a training loss."""
        return len(self.train_begin)

    def training_window(self, index: Int[Tensor, " B"], length: int) -> Window:
        """Return the last `length` training tracks of training sessions `index`.

        A causal encoder of `max_len` positions wants `max_len` + 1 (the last is a target only), a cloze one `max_len`.
        """
        begin, end = self.train_begin[index], self.train_end[index]
        before = {} if self.earlier is None else self._earlier(self.earlier.of_training[index])
        return Window(*self._gather(begin, end, length), self._context(begin, end, length), before)

    def context_batch(self, cases: Cases, index: NDArray[np.int64], max_len: int) -> SessionBatch:
        """Return what is known before the targets of `cases[index]`: their last `max_len` tracks, right-padded.

        Tracks are mapped to what a model reads (UNKNOWN where the vocabulary rule says so).
        """
        begin, end = _on(cases.begin[index], self.tracks.device), _on(cases.target[index], self.tracks.device)
        tracks, feedback, valid = self._gather(begin, end, max_len)
        context = self._context(begin, end, max_len)
        side = {} if context is None else {CONTEXT: context}
        if self.earlier is not None:
            side |= self._earlier(_on(cases.session[index], self.tracks.device))
        return SessionBatch(self.input_row[tracks].long(), feedback, valid, side)

    def _gather(
        self, begin: Int[Tensor, " B"], end: Int[Tensor, " B"], width: int
    ) -> tuple[Int[Tensor, "B W"], Int[Tensor, "B W"], Bool[Tensor, "B W"]]:
        """Return tracks, feedback and valid of the last `width` rows of begin..end - 1, right-padded."""
        place = self._places(begin, end, width)
        valid = place < end[:, None]
        place = place.clamp(max=len(self.tracks) - 1)
        tracks = self.tracks[place].long().masked_fill(~valid, PAD)
        feedback = self.feedback[place].long().masked_fill(~valid, skips.FEEDBACK_HIDDEN)
        return tracks, feedback, valid

    def _earlier(self, session: Int[Tensor, " B"]) -> dict[str, Tensor]:
        assert self.earlier is not None, "asked only where there is some"
        rows, real = self.earlier.gather(session, self.num_earlier)
        tracks = self.input_row[self.tracks[rows].long()].long().masked_fill(~real, PAD)
        return {
            EARLIER_TRACKS: tracks,
            EARLIER_FEEDBACK: self.feedback[rows].long().masked_fill(~real, skips.FEEDBACK_HIDDEN),
        }

    def _context(self, begin: Int[Tensor, " B"], end: Int[Tensor, " B"], width: int) -> Int[Tensor, "B W C"] | None:
        if self.context is None:
            return None
        return self.context[self._places(begin, end, width).clamp(max=len(self.tracks) - 1)].long()

    @staticmethod
    def _places(begin: Int[Tensor, " B"], end: Int[Tensor, " B"], width: int) -> Int[Tensor, "B W"]:
        first = torch.maximum(begin, end - width)
        return first[:, None] + torch.arange(width, device=first.device)


def _on(array: NDArray[np.generic], device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
