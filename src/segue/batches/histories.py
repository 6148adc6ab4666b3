"""Histories: the plays of each listener as one sequence across sessions, which an encoder reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from segue import columns
from segue.axes import Int
from segue.batch import Batch, History
from segue.batches.held_out import Cases
from segue.batches.listener_past import listener_ranges
from segue.batches.split import Split
from segue.store import PAD, Store

STRETCH: Final = 64
"""Rows of a listener that one step trains on together. Longer stretches learn less: a step sees fewer listeners."""


@dataclass(frozen=True)
class Places:
    """S sequences of rows of a store, one after another, and where the positions of a batch stand in them."""

    row: Int[Tensor, " T"]
    """Global row of each place; 0 after the last sequence."""
    column: Int[Tensor, " T"]
    """How many rows of its session come before it."""
    offsets: Int[Tensor, " C"]
    """First place of each sequence, then the end of the last: C = S + 1. The last sequences may be empty."""
    longest: int
    """At least the number of places of the longest sequence."""
    place: Int[Tensor, " N"]
    """Place of each position of the batch."""


@dataclass(frozen=True)
class _Sequences:
    """The sequences of B training parts, at most B of them; those that follow the last have no place."""

    of_part: Int[Tensor, "*some B"]
    """Sequence of each training part."""
    first: Int[Tensor, "*some B"]
    """Number of the first row of each sequence."""
    offsets: Int[Tensor, "*some C"]


@dataclass(frozen=True)
class Histories:
    """The readable rows of a store on a device, listener after listener in the order of listening.

    Number h stands for row `rows[h]`. A ranking reads the last `plays` rows before a session, then the session. An
    epoch of training cuts the rows of each listener into stretches of at most STRETCH; the sessions that begin in one
    are read as one sequence, after so many rows before them that each sees about `plays`.
    """

    rows: Int[Tensor, " H"]
    column: Int[Tensor, " H"]
    """How many rows of its session come before each."""
    begin: Int[Tensor, " sessions"]
    """Number of the first row of the listener of each session of the store."""
    end: Int[Tensor, " sessions"]
    """Number of the first row of each session."""
    train_begin: Int[Tensor, " Nt"]
    """Number of the first row of the listener of each training part."""
    train_first: Int[Tensor, " Nt"]
    """Number of the first row of the part."""
    train_end: Int[Tensor, " Nt"]
    """One past the number of its last row."""
    stretch: Int[Tensor, " Nt"]
    """The stretch in which each training part begins, in the running epoch: see `order`. Before any, each is alone."""
    plays: int
    stretch_rows: int
    longest_part: int
    """Rows of the longest training part."""

    @classmethod
    def load(cls, store: Store, split: Split, plays: int, device: torch.device | str) -> Histories:
        """Return the histories of the listeners of `store`."""
        past, offsets = listener_ranges(store, split), np.asarray(store.offsets).astype(np.int64)
        readable, _ = split.readable
        first_row = np.zeros(store.num_sessions, np.int64)
        first_row[_session_of(offsets, readable)] = readable
        session = _session_of(offsets, split.train_begin)
        first = past.end[session] + split.train_begin - first_row[session]
        arrays = {
            "rows": past.rows,
            "column": past.rows - offsets[_session_of(offsets, past.rows)],
            "begin": past.begin,
            "end": past.end,
            "train_begin": past.begin[session],
            "train_first": first,
            "train_end": first + split.train_end - split.train_begin,
            "stretch": np.arange(len(first)),
        }
        placed = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
        longest = int((arrays["train_end"] - first).max(initial=0))
        return cls(**placed, plays=plays, stretch_rows=min(STRETCH, plays), longest_part=longest)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the training parts in the order of an epoch: stretches shuffled, and the sessions of each in order.

        A pure function of seed and epoch, which also decide where stretches begin.
        """
        draw = np.random.default_rng([seed, epoch, 0x415])
        first, begin = self.train_first.cpu().numpy(), self.train_begin.cpu().numpy()
        cell = (first - begin + int(draw.integers(self.stretch_rows))) // self.stretch_rows
        _, stretch = np.unique(begin * (int(cell.max()) + 1) + cell, return_inverse=True)
        self.stretch.copy_(torch.from_numpy(stretch))
        return np.lexsort((first, draw.permutation(int(stretch.max()) + 1)[stretch]))

    def num_places(self, index: Int[Tensor, "*some B"]) -> Int[Tensor, "*some"]:
        """Return how many places the sequences of each batch of training parts have together (-1 = no part)."""
        return self._sequences(index).offsets[..., -1]

    def of_training(
        self, index: Int[Tensor, " B"], num_places: int, windows: Int[Tensor, " B"], position: tuple[Tensor, Tensor]
    ) -> Places:
        """Return the sequences of training parts `index` (-1 = none), with room for `num_places` = T places.

        `windows`: tracks of each training window; `position`: session and column of each position, [N] each. Nothing
        here waits for a GPU: there are as many sequences as parts, and the last ones are empty.
        """
        made = self._sequences(index)
        offsets = made.offsets
        place = torch.arange(num_places, device=index.device)
        sequence = (torch.searchsorted(offsets, place, right=True) - 1).clamp(max=len(offsets) - 2)
        inside = place < offsets[-1]
        number = (made.first[sequence] + place - offsets[sequence]) * inside
        session, column = position
        first = offsets[made.of_part] + self.train_end[index.clamp(min=0)] - windows - made.first[made.of_part]
        row, column_of = self.rows[number] * inside, self.column[number] * inside
        return Places(row, column_of, offsets, self.plays + self.longest_part, first[session] + column)

    def before(self, cases: Cases, index: NDArray[np.int64], windows: NDArray[np.int64]) -> Places:
        """Return the last `plays` rows before the session of each of `cases[index]`, then the session up to its target.

        `windows`: positions of each case in the batch, the last ones before its target.
        """
        session = torch.from_numpy(cases.session[index]).to(self.end.device)
        end = self.end[session].cpu().numpy()
        first = np.maximum(end - self.plays, self.begin[session].cpu().numpy())
        num_before = end - first
        lengths = num_before + cases.target[index] - cases.begin[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        case = np.repeat(np.arange(len(index)), lengths)
        step = np.arange(offsets[-1]) - offsets[case]
        is_before, column = step < num_before[case], np.maximum(step - num_before[case], 0)
        number = torch.from_numpy(np.where(is_before, first[case] + step, 0))
        own_row = cases.begin[index][case] + column
        window = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
        given = is_before, own_row, column, offsets, np.repeat(offsets[1:] - windows, windows) + window
        before, own, own_column, begins, place = (torch.from_numpy(part).to(self.rows.device) for part in given)
        number = number.to(self.rows.device)
        row = torch.where(before, self.rows[number], own) if len(self.rows) else own
        column_of = torch.where(before, self.column[number], own_column) if len(self.rows) else own_column
        return Places(row, column_of, begins, int(lengths.max(initial=1)), place)

    def _sequences(self, index: Int[Tensor, "*some B"]) -> _Sequences:
        """Return the sequences of training parts `index`: those of one stretch that follow one another are one."""
        chosen, real = index.clamp(min=0), index >= 0
        first, end, stretch = self.train_first[chosen], self.train_end[chosen], self.stretch[chosen]
        begins = pad((stretch[..., 1:] != stretch[..., :-1]) & real[..., 1:], (1, 0), value=True)
        sequence = begins.cumsum(-1) - 1
        latest = torch.iinfo(torch.int64).max
        first = (first - (self.plays - self.stretch_rows)).maximum(self.train_begin[chosen])
        firsts = torch.full_like(first, latest).scatter_reduce(-1, sequence, first.where(real, latest), "amin")
        ends = torch.zeros_like(end).scatter_reduce(-1, sequence, end * real, "amax")
        return _Sequences(sequence, firsts, pad((ends - firsts).clamp(min=0).cumsum(-1), (1, 0)))


def _session_of(offsets: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(offsets, row, side="right") - 1


def one_history(batch: Batch, tracks: Int[Tensor, " H"], feedback: Int[Tensor, " H"], column: Tensor) -> History:
    """Return the history of the one session of `batch`, after plays that no store has.

    `column`: how many plays of its session come before each, int64 [H], H >= 1. A session without tracks has the state
    after the last of these plays.
    """
    length, num = len(tracks) + len(batch.tracks), len(tracks)
    place = torch.arange(num, length)
    if int(batch.tracks[-1]) == PAD:
        place, length = place - 1, num
    sequences = replace(
        batch, tracks=torch.cat([tracks, batch.tracks])[:length],
        feedback=torch.cat([feedback, batch.feedback])[:length],
        position=torch.cat([column, batch.position])[:length], offsets=torch.tensor([0, length]), longest=length,
        side={}, session_side={},
    )  # fmt: skip
    return History(sequences, place)


def load_histories(store: Store, split: Split, plays: int, device: torch.device | str) -> Histories | None:
    """Return the histories of `store`, of `plays` rows before a session; None where none are read or named."""
    known = plays > 0 and store.side_column(columns.USER) is not None
    return Histories.load(store, split, plays, device) if known else None
