"""How often a negative is expected to be drawn, and the correction of its score that follows (logQ)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.batches.split import Split, ranges


def causal_target_counts(tracks: NDArray[np.int32], split: Split, max_len: int) -> NDArray[np.float64]:
    """Return how often each table row is a target of an epoch, [V + 3]: every track but the first of each window.

    A window is the last `max_len` + 1 tracks of a session's training part; `tracks` are the rows of the whole store.
    """
    first = np.maximum(split.train_begin, split.train_end - (max_len + 1))
    return _counted(tracks[ranges(first + 1, split.train_end)], split)


def cloze_target_counts(
    tracks: NDArray[np.int32], split: Split, max_len: int, mask_share: float
) -> NDArray[np.float64]:
    """Return how often each table row is expected to be a target of an epoch, [V + 3].

    The last training track always is, each other one of the window (`max_len` tracks) with probability `mask_share`.
    """
    first, last = np.maximum(split.train_begin, split.train_end - max_len), split.train_end - 1
    return _counted(tracks[last], split) + mask_share * _counted(tracks[ranges(first, last)], split)


def _counted(tracks: NDArray[np.int32], split: Split) -> NDArray[np.float64]:
    return np.bincount(tracks, minlength=len(split.training_counts)).astype(np.float64)


def expected_draws(num: tuple[int, int], num_candidates: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often a step is expected to draw each table row, [V + 3]: U / V + R c / sum c.

    `num` = (U, R), see `num_shared`; some count is above 0. Rows that are no candidates are given U / V too: nobody
    draws them.
    """
    uniform, batch = num
    expected: NDArray[np.float64] = uniform / num_candidates + batch * counts / counts.sum()
    return expected


def log_q(expected: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what is added to the score of a negative that is drawn `expected` (above 0) times: -log of it."""
    return (-np.log(expected)).astype(np.float32)
