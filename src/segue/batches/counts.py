"""Counts over the training rows of a split: plays, listens, transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segue import skips
from segue.axes import Int
from segue.batches.split import Split, visible_strength
from segue.store import Store


@dataclass(frozen=True)
class TrainingCounts:
    """Counts over the training parts of R = V + 3 table rows."""

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

    @classmethod
    def nothing(cls, num_rows: int) -> TrainingCounts:
        """Return the counts of no training rows."""
        zeros = torch.zeros(num_rows, dtype=torch.int32)
        return cls(zeros, zeros.clone(), zeros.clone(), torch.zeros(0, dtype=torch.int64), zeros[:0].clone())


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
    return TrainingCounts(plays, listens, followed, torch.from_numpy(pairs), made)
