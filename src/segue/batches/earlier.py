"""What a listener heard in earlier sessions: the training rows of those that began before, most recent last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import columns, skips
from segue.axes import Int
from segue.batches.context import DROP
from segue.batches.split import Split
from segue.errors import InputError
from segue.store import PAD, Store


def check_listeners(store: Store) -> None:
    """Refuse a store that does not say who listened (InputError)."""
    if store.side_column(columns.USER) is None:
        raise InputError(
            f"{store.path} does not say who listened, which data.earlier needs; prepare it with a user column, or "
            "leave data.earlier out"
        )


@dataclass(frozen=True)
class Earlier:
    """Of each session of a store, which training rows its listener heard before it."""

    rows: Int[Tensor, " n"]
    """Global training rows, listener after listener, each in the order of listening."""
    begin: Int[Tensor, " S"]
    """Where the listener's first row stands in `rows`, of each session of the store."""
    end: Int[Tensor, " S"]
    """One past the last row heard before the session."""
    of_training: Int[Tensor, " Nt"]
    """Session of each training session, as an index of the store."""

    @classmethod
    def find(cls, store: Store, split: Split, device: torch.device | str) -> Earlier:
        """Return what came earlier in `store`: held-out rows take no part, whenever they were heard.

        Raises:
            InputError: the store has no listeners.
        """
        check_listeners(store)
        offsets = np.asarray(store.offsets)
        of_training = np.searchsorted(offsets, split.train_begin, side="right") - 1
        order = _chronological(store)
        user = np.asarray(store.side(columns.USER)).astype(np.int64)
        length = np.zeros(store.num_sessions, np.int64)
        length[of_training] = split.train_end - split.train_begin
        first = np.zeros(store.num_sessions, np.int64)
        first[of_training] = split.train_begin
        ends = np.cumsum(length[order])
        starts = ends - length[order]
        of_user = user[order]
        new = np.concatenate(([True], of_user[1:] != of_user[:-1]))
        user_start = starts[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
        begin, end = np.empty_like(length), np.empty_like(length)
        begin[order], end[order] = user_start, starts
        rows = np.repeat(first[order] - starts, length[order]) + np.arange(int(length.sum()))
        return cls(*(torch.from_numpy(part).to(device) for part in (rows, begin, end, of_training)))

    def gather(self, session: Int[Tensor, " B"], width: int) -> tuple[Int[Tensor, "B N"], Tensor]:
        """Return the last `width` rows heard before each session of the store, left-padded, and which are real."""
        place = self.end[session][:, None] - width + torch.arange(width, device=session.device)
        real = place >= self.begin[session][:, None]
        last = max(len(self.rows) - 1, 0)
        return self.rows[place.clamp(0, last)], real


def forgetting_earlier(earlier: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return what came earlier, nothing for a share of DROP of the sessions: later some listeners are new."""
    tracks = earlier[columns.EARLIER_TRACKS]
    gone = torch.rand((len(tracks), 1), generator=generator, device=tracks.device) < DROP
    feedback = earlier[columns.EARLIER_FEEDBACK].masked_fill(gone, skips.FEEDBACK_HIDDEN)
    return {columns.EARLIER_TRACKS: tracks.masked_fill(gone, PAD), columns.EARLIER_FEEDBACK: feedback}


def _chronological(store: Store) -> NDArray[np.int64]:
    """Return the sessions by listener, then by when they began, then as they stand in the store."""
    user = np.asarray(store.side(columns.USER)).astype(np.int64)
    began = np.zeros(store.num_sessions, np.int64)
    if store.side_column(columns.AT) is not None:
        began = np.asarray(store.side(columns.AT)).astype(np.int64)[np.asarray(store.offsets)[:-1]]
    elif store.side_column(columns.DATE) is not None:
        began = np.asarray(store.side(columns.DATE)).astype(np.int64)
    return np.lexsort((np.arange(store.num_sessions), began, user))
