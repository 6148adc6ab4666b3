"""Counts over the training rows of a split: plays, listens, transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue import skips
from segue.batches.split import Split, visible_strength
from segue.store import Store


@dataclass(frozen=True)
class TrainingCounts:
    """See `segue.model.heads.Counts`, which these become."""

    plays: NDArray[np.int32]
    listens: NDArray[np.int32]
    followed: NDArray[np.int32]
    pairs: NDArray[np.int64]
    times: NDArray[np.int32]


def training_counts(store: Store, split: Split, skip_at_least: int) -> TrainingCounts:
    """Return the counts over the training parts of `split`; nothing held out is among them.

    Feedback that training reads as unknown (`Split.hidden`) is of no play that is counted as known.
    """
    rows, size = split.training_rows, len(split.training_counts)
    tracks = np.asarray(store.tracks)[rows].astype(np.int64)
    strength = visible_strength(store, split)[rows]
    listened = skips.listened(strength, skip_at_least)
    judged = listened | skips.skipped(strength, skip_at_least)
    length = split.train_end - split.train_begin
    session = np.repeat(np.arange(len(length)), length)
    within = session[1:] == session[:-1]
    before, after = tracks[:-1][within], tracks[1:][within]
    pairs, times = np.unique(before * size + after, return_counts=True)
    return TrainingCounts(
        plays=_counted(tracks[judged], size),
        listens=_counted(tracks[listened], size),
        followed=_counted(before, size),
        pairs=pairs,
        times=times.astype(np.int32),
    )


def _counted(tracks: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    return np.bincount(tracks, minlength=size).astype(np.int32)
