"""How often a negative is expected to be drawn, and the correction of its score (logQ)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue import skips
from segue.batches.example import TargetRule
from segue.batches.split import Split, ranges


@dataclass(frozen=True)
class Rows:
    """The rows of a whole store, and which of them are targets."""

    tracks: NDArray[np.int32]
    strength: NDArray[np.uint8]
    rule: TargetRule = "next"
    skip_at_least: int = skips.SKIP_AT_LEAST

    def counted(self, rows: NDArray[np.int64], split: Split) -> NDArray[np.float64]:
        """Return how often each table row stands at `rows`, [V + 3]; skipped ones only where they are targets."""
        if self.rule in ("listened", "next_listened", "next_day"):
            rows = rows[~skips.skipped(self.strength[rows], self.skip_at_least)]
        return np.bincount(self.tracks[rows], minlength=len(split.training_counts)).astype(np.float64)


def causal_target_counts(rows: Rows, split: Split, max_len: int) -> NDArray[np.float64]:
    """Return how often each table row is a target of an epoch, [V + 3]: every track but the first of each window.

    A window is the last `max_len` + 1 tracks of a session's training part. By the rule `next_listened` a listened track
    is the target of its predecessor and of all skipped ones right before that.
    """
    first = np.maximum(split.train_begin, split.train_end - (max_len + 1))
    if rows.rule == "next_listened":
        return _next_listened_counts(rows, split, first)
    return rows.counted(ranges(first + 1, split.train_end), split)


def cloze_target_counts(rows: Rows, split: Split, max_len: int, mask_share: float) -> NDArray[np.float64]:
    """Return how often each table row is expected to be a target of an epoch, [V + 3].

    The last training track always is, each other one of the window (`max_len` tracks) with probability `mask_share`.
    """
    first, last = np.maximum(split.train_begin, split.train_end - max_len), split.train_end - 1
    return rows.counted(last, split) + mask_share * rows.counted(ranges(first, last), split)


def _next_listened_counts(rows: Rows, split: Split, first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count the next listened row of every input, within its session's training part."""
    listened = skips.listened(rows.strength, rows.skip_at_least)
    listened_row = np.where(listened, np.arange(len(listened)), len(listened))
    at_or_after = np.minimum.accumulate(listened_row[::-1])[::-1]
    inputs = ranges(first, split.train_end - 1)
    end = np.repeat(split.train_end, np.maximum(split.train_end - 1 - first, 0))
    target = at_or_after[inputs + 1]
    return np.bincount(rows.tracks[target[target < end]], minlength=len(split.training_counts)).astype(np.float64)


def expected_draws(num: tuple[int, int], num_candidates: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often a step is expected to draw each table row, [V + 3]: U / V + R c / sum c.

    `num` = (U, R): negatives drawn uniformly, and from the targets of a batch. Some count is above 0. Rows that are
    not candidates get U / V too: they are never drawn.
    """
    uniform, batch = num
    expected: NDArray[np.float64] = uniform / num_candidates + batch * counts / max(counts.sum(), 1.0)
    return expected


def log_q(expected: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what is added to the score of a negative that is drawn `expected` (above 0) times: -log of it."""
    return (-np.log(expected)).astype(np.float32)
