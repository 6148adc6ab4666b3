"""What a listener played before a session: the plays for rankings, and what they say of a target for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import columns
from segue.axes import Float, Int
from segue.batches.listening_order import listening_order, session_begins
from segue.batches.side_data import SideData
from segue.batches.split import Split, ranges
from segue.store import Store

ORDERS: Final = 3
"""Longest sequence of last tracks whose followers are looked up."""
DECAY: Final = 0.5
"""The play n plays ago weighs n^-DECAY (Anderson & Schooler 1991)."""


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
    """The last plays before each session of a store, [sessions, H, 2]: table row, and whether its session goes on.

    Right-aligned; PAD before the first play. Table rows are those of the store, also of tracks that no model knows.
    """

    per_session = True
    num_draws = 0

    def __init__(self, store: Store, split: Split, plays: int, device: torch.device | str) -> None:
        past = listener_ranges(store, split)
        self._plays = plays
        self._begin, self._end = (torch.from_numpy(part).to(device) for part in (past.begin, past.end))
        session = np.searchsorted(np.asarray(store.offsets), past.rows, side="right") - 1
        goes_on = np.append(session[1:] == session[:-1], False)
        values = np.stack([np.asarray(store.tracks)[past.rows].astype(np.int32), goes_on.astype(np.int32)], 1)
        self._values = torch.from_numpy(values).to(device)

    def gather(self, index: Int[Tensor, " B"]) -> Int[Tensor, "B H two"]:
        """Return the last plays before sessions `index`; H = the most that one of them has, at most `plays`."""
        begin, end = self._begin[index], self._end[index]
        most = min(int((end - begin).max()), self._plays) if len(index) else 0
        row = end[:, None] - most + torch.arange(most, device=index.device)
        real = row >= begin[:, None]
        return self._values[row.clamp(min=0)] * real[:, :, None] if most else self._values.new_zeros(len(index), 0, 2)

    def hidden(self, values: Tensor, uniform: Float[Tensor, "n K"]) -> Tensor:
        """Return `values`: nothing is hidden."""
        return values


class PastOfTargets(SideData):
    """What the plays before its session say of each row as a target, [rows, 2 ORDERS + 2], float32.

    How often the last 1, 2, ... tracks were followed; how often by the target; the number of plays; and the share of
    the target among them, weighted by age.
    """

    per_session = False
    num_draws = 0

    def __init__(self, store: Store, split: Split, plays: int, device: torch.device | str) -> None:
        facts = past_of_targets(store, split, plays)
        self._values = torch.from_numpy(facts).to(device)

    def gather(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n F"]:
        """Return the facts of rows `index`."""
        return self._values[index]

    def hidden(self, values: Tensor, uniform: Float[Tensor, "n K"]) -> Tensor:
        """Return `values`: nothing is hidden."""
        return values


def past_of_targets(store: Store, split: Split, plays: int) -> NDArray[np.float32]:
    """Return the values of `PastOfTargets`; rows outside training parts have none (0)."""
    past, offsets = listener_ranges(store, split), np.asarray(store.offsets)
    session = np.searchsorted(offsets, past.rows, side="right") - 1
    tracks = np.asarray(store.tracks)[past.rows].astype(np.int64)
    first, end = np.maximum(past.begin[session], past.end[session] - plays), past.end[session]
    facts = np.zeros((len(past.rows), 2 * ORDERS + 2), np.float32)
    user = np.asarray(store.side(columns.USER)).astype(np.int64)[session]
    of_track = _numbers(user, tracks)
    context = of_track
    for order in range(1, ORDERS + 1):
        if order > 1:  # the last `order` tracks up to each row, of one session
            context = _numbers(_before(context, session), of_track)
        before = _before(context, session)
        facts[:, order - 1] = _Places(before).count(before, first + order, end)
        pairs = _numbers(before, of_track)
        facts[:, ORDERS + order - 1] = _Places(pairs).count(pairs, first + order, end)
    num = end - first
    facts[:, -2] = num
    facts[:, -1] = _Places(of_track).weight(of_track, first, end) / np.maximum(total_weight(num), 1.0)
    result = np.zeros((store.num_rows, facts.shape[1]), np.float32)
    result[past.rows] = facts
    return result


def total_weight(num: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of n^-DECAY for n = 1..num."""
    most = int(num.max(initial=0))
    sums = np.concatenate(([0.0], np.cumsum(np.arange(1, most + 1, dtype=np.float64) ** -DECAY)))
    return sums[num]


def _numbers(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each distinct pair; -1 where `one` is -1."""
    key = one * (int(other.max(initial=0)) + 1) + other
    numbers = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return np.where(one < 0, -1, numbers)


def _before(values: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the value of the place before each, -1 where that is of another session."""
    result = np.full_like(values, -1)
    result[1:] = np.where(session[1:] == session[:-1], values[:-1], -1)
    return result


class _Places:
    """At which places each number stands."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._size = len(numbers) + 1
        self._order = np.lexsort((np.arange(len(numbers)), numbers))
        self._keys = numbers[self._order] * self._size + self._order

    def count(self, wanted: NDArray[np.int64], first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return at how many places in first..end - 1 each wanted number stands; 0 for -1."""
        low, high = (np.searchsorted(self._keys, wanted * self._size + bound) for bound in (first, end))
        return np.where(wanted < 0, 0, np.maximum(high - low, 0))

    def weight(
        self, wanted: NDArray[np.int64], first: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the sum of (end - place)^-DECAY over these places."""
        low, high = (np.searchsorted(self._keys, wanted * self._size + bound) for bound in (first, end))
        total, has = np.zeros(len(wanted)), np.flatnonzero(high > low)
        nth = 1
        while len(has):  # the nth last place of each
            total[has] += (end[has] - self._order[high[has] - nth]).astype(np.float64) ** -DECAY
            nth += 1
            has = has[high[has] - nth >= low[has]]
        return total
