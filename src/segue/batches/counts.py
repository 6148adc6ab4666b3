"""What heads know of the training rows of a split: plays, listens, transitions, and the sessions themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import skips
from segue.axes import Int
from segue.batches.listening_order import session_begins
from segue.batches.split import Split, ranges, visible_strength
from segue.store import Store

ORDERS: Final = 3
"""Longest sequence of last tracks whose followers are counted."""
MOST_CONTEXTS: Final = 2**21
"""Most sequences of one length: those that were followed most often."""


@dataclass(frozen=True)
class Contexts:
    """What followed each sequence of k >= 2 tracks within a session."""

    keys: Int[Tensor, " C"]
    """number of the sequence without its first track * R + that first track, ascending, int64. The number of a sequence
    is its index here, that of a single track its row."""
    followed: Int[Tensor, " C"]
    """How often it was followed by another track, int32."""
    pairs: Int[Tensor, " N"]
    """number of the sequence * R + row that followed, distinct, ascending, int64."""
    times: Int[Tensor, " N"]
    """How often each was seen, int32."""


@dataclass(frozen=True)
class TrainingCounts:
    """Counts over the training parts of R = V + 3 table rows, and the parts."""

    plays: Int[Tensor, " R"]
    """Plays of known feedback, int32."""
    listens: Int[Tensor, " R"]
    """Those that were listened to, int32."""
    followed: Int[Tensor, " R"]
    """How often each track was followed by another in its session, int32."""
    pairs: Int[Tensor, " N"]
    """Distinct transitions, row * R + row that followed, ascending, int64."""
    times: Int[Tensor, " N"]
    """How often each was made, int32."""
    tracks: Int[Tensor, " P"]
    """Tracks of the training sessions, one session after another, the oldest session first, int32."""
    offsets: Int[Tensor, " S"]
    """First index of each training session in `tracks`, then the end of the last, int64."""
    contexts: tuple[Contexts, ...] = ()
    """Of orders 2, 3, ..., ORDERS."""
    skip_at_least: int = skips.SKIP_AT_LEAST
    """Smallest strength that counts as a skip."""

    @classmethod
    def nothing(cls, num_rows: int, skip_at_least: int = skips.SKIP_AT_LEAST) -> TrainingCounts:
        """Return the counts of no training rows."""
        zeros, none = torch.zeros(num_rows, dtype=torch.int32), torch.zeros(0, dtype=torch.int64)
        counts = zeros, zeros.clone(), zeros.clone(), none, zeros[:0].clone()
        return cls(*counts, zeros[:0].clone(), torch.zeros(1, dtype=torch.int64), skip_at_least=skip_at_least)


def training_counts(store: Store, split: Split) -> TrainingCounts:
    """Return the counts over the training parts of `split`.

    A play whose feedback training reads as unknown (`Split.hidden`) does not count as one of known feedback.
    """
    rows, size = split.training_rows, len(split.training_counts)
    tracks = np.asarray(store.tracks)[rows].astype(np.int64)
    strength = visible_strength(store, split)[rows]
    listened = skips.listened(strength, split.skip_at_least)
    judged = listened | skips.skipped(strength, split.skip_at_least)
    length = split.train_end - split.train_begin
    session = np.repeat(np.arange(len(length)), length)
    within = session[1:] == session[:-1]
    before, after = tracks[:-1][within], tracks[1:][within]
    pairs, times = np.unique(before * size + after, return_counts=True)
    by_row = (np.bincount(part, minlength=size) for part in (tracks[judged], tracks[listened], before))
    plays, listens, followed, made = (torch.from_numpy(part.astype(np.int32)) for part in (*by_row, times))
    sessions = _oldest_first(tracks, length, session_times(store, split))
    contexts = _contexts(tracks, length, size)
    flat = plays, listens, followed, torch.from_numpy(pairs), made, *sessions
    return TrainingCounts(*flat, contexts, split.skip_at_least)


def session_times(store: Store, split: Split) -> NDArray[np.int64] | None:
    """Return when each training session began, in seconds, from times or else dates; None if the store has neither."""
    begins = session_begins(store)
    number = np.searchsorted(np.asarray(store.offsets), split.train_begin, side="right") - 1
    return None if begins is None else begins[number]


def _oldest_first(
    tracks: NDArray[np.int64], length: NDArray[np.int64], began: NDArray[np.int64] | None
) -> tuple[Tensor, Tensor]:
    """Return tracks and offsets of the sessions in order of time; ties, or without times: as they come."""
    order = np.arange(len(length)) if began is None else np.argsort(began, kind="stable")
    first = (np.cumsum(length) - length)[order]
    rows = ranges(first, first + length[order])
    offsets = np.concatenate(([0], np.cumsum(length[order]))).astype(np.int64)
    return torch.from_numpy(tracks[rows].astype(np.int32)), torch.from_numpy(offsets)


def _contexts(tracks: NDArray[np.int64], length: NDArray[np.int64], size: int) -> tuple[Contexts, ...]:
    """Return what followed sequences of 2, 3, ..., ORDERS tracks, of sessions of these lengths, one after another."""
    past = np.arange(len(tracks)) - np.repeat(np.cumsum(length) - length, length)
    is_followed = past < np.repeat(length, length) - 1
    number = np.where(is_followed, tracks, -1)  # of the sequence that ends at each row; -1 = it is not counted
    result = list[Contexts]()
    for order in range(2, ORDERS + 1):
        end = np.flatnonzero((number >= 0) & (past >= order - 1))
        key = number[end] * size + tracks[end - order + 1]
        keys, key_index, followed = np.unique(key, return_inverse=True, return_counts=True)
        frequent = np.sort(np.argsort(-followed, kind="stable")[:MOST_CONTEXTS])
        number_of_key = np.full(len(keys), -1)
        number_of_key[frequent] = np.arange(len(frequent))
        number = np.full(len(tracks), -1)
        number[end] = number_of_key[key_index]
        end = end[number[end] >= 0]
        pairs, times = np.unique(number[end] * size + tracks[end + 1], return_counts=True)
        parts = keys[frequent], followed[frequent].astype(np.int32), pairs, times.astype(np.int32)
        result.append(Contexts(*map(torch.from_numpy, parts)))
    return tuple(result)
