"""What a listener played before a session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import columns, skips
from segue.axes import Float, Int
from segue.batches.listening_order import listening_order, session_begins
from segue.batches.side_data import SideData
from segue.batches.split import Split, ranges, visible_strength
from segue.store import Store


@dataclass(frozen=True)
class ListenerRanges:
    """Rows that may be read, listener after listener in the order of listening, and the range before each session."""

    rows: NDArray[np.int64]
    """Global rows."""
    begin: NDArray[np.int64]
    """Index in `rows` of the listener's first row, of each session of the store."""
    end: NDArray[np.int64]
    """One past the last row that was heard before the session: its own first one, if it may be read."""


def listener_ranges(store: Store, split: Split) -> ListenerRanges:
    """Return the rows before each session of `store`, of the same listener: see `Split.readable`."""
    offsets, user = np.asarray(store.offsets), np.asarray(store.side(columns.USER)).astype(np.int64)
    first_row, length = np.zeros(store.num_sessions, np.int64), np.zeros(store.num_sessions, np.int64)
    begin, end = split.readable
    session = np.searchsorted(offsets, begin, side="right") - 1
    first_row[session], length[session] = begin, end - begin
    order = listening_order(user, session_begins(store))
    ends = np.cumsum(length[order])
    starts = ends - length[order]
    begin, end = np.empty_like(length), np.empty_like(length)
    begin[order], end[order] = starts[np.searchsorted(user[order], user[order])], starts
    return ListenerRanges(ranges(first_row[order], (first_row + length)[order]), begin, end)


class PastPlays(SideData):
    """The last plays before each session of a store, [sessions, H, 3], right-aligned; 0 before the first play.

    Table row, also of tracks that no model knows; feedback code; minutes until the session began (0 without times).
    """

    per_session = True
    num_draws = 0

    def __init__(self, store: Store, split: Split, plays: int, device: torch.device | str) -> None:
        past = listener_ranges(store, split)
        self._begin, self._end = (torch.from_numpy(part).to(device) for part in (past.begin, past.end))
        self._plays = min(int((past.end - past.begin).max(initial=0)), plays)
        feedback = np.minimum(visible_strength(store, split)[past.rows], skips.FEEDBACK_UNKNOWN)
        at, session_at = _minutes(store)
        values = [part.astype(np.int32) for part in (np.asarray(store.tracks)[past.rows], feedback, at[past.rows])]
        self._values = torch.from_numpy(np.stack(values, 1)).to(device)
        self._session_at = torch.from_numpy(session_at).to(device)

    def gather(self, index: Int[Tensor, " B"]) -> Int[Tensor, "B H three"]:
        """Return the last plays before sessions `index`; H = the most that any session has, at most `plays`."""
        begin, end = self._begin[index], self._end[index]
        row = end[:, None] - self._plays + torch.arange(self._plays, device=index.device)
        real = row >= begin[:, None]
        if not len(self._values):
            return self._values.new_zeros(len(index), 0, 3)
        values = self._values[row.clamp(min=0)]
        minutes = (self._session_at[index][:, None] - values[:, :, 2]).clamp(min=0)
        return torch.cat([values[:, :, :2], minutes[:, :, None]], 2) * real[:, :, None]

    def hidden(self, values: Tensor, uniform: Float[Tensor, "n K"]) -> Tensor:
        """Return `values`: nothing is hidden."""
        return values


def _minutes(store: Store) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return when each row and each session began, in minutes; 0 where the store has neither times nor dates."""
    begins = session_begins(store)
    if begins is None:
        begins = np.zeros(store.num_sessions, np.int64)
    if store.side_column(columns.AT) is not None:
        at = np.asarray(store.side(columns.AT)).astype(np.int64)
    else:
        at = np.repeat(begins, np.diff(np.asarray(store.offsets)).astype(np.int64))
    return (at // 60).astype(np.int32), (begins // 60).astype(np.int32)
