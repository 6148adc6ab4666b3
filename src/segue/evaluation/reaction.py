"""The effect of the last track's feedback: feedback utility and responsiveness (method, section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from segue import skips
from segue.batch import Batch
from segue.evaluation.scene import Scene

NEAREST: Final = 100
"""Tracks near the last one: those that share most training sessions with it."""


def flipped(batch: Batch, skip_at_least: int = skips.SKIP_AT_LEAST) -> Batch:
    """Return the batch with the feedback of each session's last track flipped: listened -> 3, skipped -> 0.

    Skipped means strength >= `skip_at_least`. Unknown feedback does not change.
    """
    feedback = batch.feedback[batch.last]
    opposite = torch.where(skips.listened(feedback, skip_at_least), skips.VERY_BRIEFLY, skips.TO_ITS_END)
    turned = torch.where(feedback <= skips.VERY_BRIEFLY, opposite, feedback)
    return replace(batch, feedback=batch.feedback.scatter(0, batch.last, turned.to(batch.feedback.dtype)))


def known_last(scene: Scene) -> NDArray[np.bool_]:
    """Return which last inputs have known feedback and so can be flipped, bool [N]."""
    last = scene.contexts.cases.target - 1
    return scene.listened(last) | scene.skipped(last)


@dataclass(frozen=True)
class Near:
    """The tracks near the last track of each context, the same for all models."""

    rows: NDArray[np.int32]
    """The NEAREST rows of each distinct last track by training co-occurrence, padded with -1, [U, NEAREST]."""
    last_index: NDArray[np.int64]
    """Index of the last track of each context in `rows`, [N]."""


def find_near(scene: Scene) -> Near:
    """Return the tracks near the last track of each context of the scene."""
    last = np.asarray(scene.store.tracks)[scene.contexts.cases.target - 1].astype(np.int64)
    distinct, last_index = np.unique(last, return_inverse=True)
    return Near(_near(scene, distinct), last_index)


def nearer(scene: Scene, near: Near, best: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of the list near the last track if it was listened to minus the share if it was skipped, [N].

    `best` [N, 20]: lists with the true feedback of the last input; `other`: with the flipped feedback.
    """
    shares = [_share(near, lists) for lists in (best, other)]
    listened = scene.listened(scene.contexts.cases.target - 1)
    return np.where(listened, shares[0] - shares[1], shares[1] - shares[0])


def _share(near: Near, lists: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each list [N, K] that is near its context's last track."""
    size = 512
    parts = [
        (lists[i : i + size, :, None] == near.rows[near.last_index[i : i + size], None, :]).any(axis=2).mean(axis=1)
        for i in range(0, len(lists), size)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _near(scene: Scene, tracks: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the NEAREST rows of each of `tracks` by training co-occurrence, ties by lower row, padded with -1."""
    split, store = scene.split, scene.store
    length = split.train_end - split.train_begin
    session = np.repeat(np.arange(len(length)), length)
    rows = np.asarray(store.tracks)[split.training_rows].astype(np.int64)
    shape = (len(length), len(split.training_counts))
    occurs = sparse.csr_matrix((np.ones(len(rows)), (session, rows)), shape=shape)
    occurs.data[:] = 1.0
    near = np.full((len(tracks), NEAREST), -1, np.int32)
    by_track = occurs.T.tocsr()
    for begin in range(0, len(tracks), 256):
        some = tracks[begin : begin + 256]
        counts = (by_track[some] @ occurs).tocoo()
        other = counts.col != some[counts.row]
        row, col, value = counts.row[other], counts.col[other], counts.data[other]
        order = np.lexsort((col, -value, row))
        row, col = row[order], col[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        nearest = rank < NEAREST
        near[begin + row[nearest], rank[nearest]] = col[nearest]
    return near
