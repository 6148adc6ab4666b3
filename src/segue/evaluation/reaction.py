"""What the feedback of the last track changes: feedback utility and responsiveness (method, section 5)."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from segue.evaluation.metrics import Ratio, hit
from segue.evaluation.scene import Scene
from segue.events import skips
from segue.session_batch import SessionBatch

NEAREST: Final = 100
"""Tracks that are near the last one: those that share most training sessions with it."""


def flipped(batch: SessionBatch) -> SessionBatch:
    """Return the batch with the feedback of each session's last track turned round: 0, 1 -> 3 and 2, 3 -> 0.

    Unknown feedback stays as it is.
    """
    place = batch.valid.long().cumsum(dim=1)
    last = batch.valid & (place == place[:, -1:])
    turned = torch.where(batch.feedback < skips.SKIP_AT_LEAST, skips.VERY_BRIEFLY, skips.TO_ITS_END)
    known = last & (batch.feedback <= skips.VERY_BRIEFLY)
    return SessionBatch(batch.tracks, torch.where(known, turned, batch.feedback), batch.valid, batch.side)


def known_last(scene: Scene) -> NDArray[np.bool_]:
    """Return where the last input has known feedback, [N]: the others cannot be flipped."""
    last = scene.held.cases.target - 1
    return scene.listened(last) | scene.skipped(last)


def utility_ratio(scene: Scene, ranks: NDArray[np.float64], other: NDArray[np.float64] | None) -> Ratio:
    """Return HR@10 with the true feedback of the last input minus HR@10 with it flipped, per target.

    `other` None: the scorer does not read feedback, so the difference is exactly 0.
    """
    known = known_last(scene).astype(np.float64)
    difference = np.zeros(len(ranks)) if other is None else hit(ranks, 10) - hit(other, 10)
    return difference * known, known


def responsiveness_ratio(scene: Scene, best: NDArray[np.int32], other: NDArray[np.int32] | None) -> Ratio:
    """Return the share of the top 20 near the last track if it was listened to, less if it was skipped, per target."""
    known = known_last(scene).astype(np.float64)
    if other is None:
        return np.zeros(len(best)), known
    rows = scene.held.cases.target - 1
    near, place = _near(scene, np.asarray(scene.store.tracks)[rows].astype(np.int64))
    shares = [_share(near, place, lists) for lists in (best, other)]
    change = np.where(scene.listened(rows), shares[0] - shares[1], shares[1] - shares[0])
    return change * known, known


def _share(near: NDArray[np.int32], place: NDArray[np.int64], lists: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each list [N, K] among the rows `near[place]` [N, NEAREST]."""
    size = 512
    parts = [
        (lists[i : i + size, :, None] == near[place[i : i + size], None, :]).any(axis=2).mean(axis=1)
        for i in range(0, len(lists), size)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _near(scene: Scene, tracks: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the NEAREST rows of each distinct track by training co-occurrence, and which of these each track is.

    -1 stands where a track met fewer.
    """
    split, store = scene.split, scene.store
    length = split.train_end - split.train_begin
    session = np.repeat(np.arange(len(length)), length)
    rows = np.asarray(store.tracks)[split.training_rows].astype(np.int64)
    shape = (len(length), len(split.training_counts))
    held = sparse.csr_matrix((np.ones(len(rows)), (session, rows)), shape=shape)
    held.data[:] = 1.0
    asked, place = np.unique(tracks, return_inverse=True)
    near = np.full((len(asked), NEAREST), -1, np.int32)
    by_track = held.T.tocsr()
    for begin in range(0, len(asked), 256):
        some = asked[begin : begin + 256]
        counts = (by_track[some] @ held).tocoo()
        other = counts.col != some[counts.row]
        row, col, value = counts.row[other], counts.col[other], counts.data[other]
        order = np.lexsort((col, -value, row))
        row, col = row[order], col[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < NEAREST
        near[begin + row[kept], rank[kept]] = col[kept]
    return near, place
