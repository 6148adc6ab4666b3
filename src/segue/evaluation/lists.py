"""Statistics of a scorer's lists: coverage, popularity, repeats, and the effect of the last track's feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.answers import ListAnswers
from segue.evaluation.bootstrap import Estimate
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.ranking.baselines import TrainingRows

NEAREST: Final = 100
"""Tracks near the last one: those that share most training sessions with it."""
_LISTS_AT_ONCE: Final = 512
_TRACKS_AT_ONCE: Final = 256


def list_answers(scene: EvaluationScene, best: NDArray[np.int32], nearer: NDArray[np.float64]) -> ListAnswers:
    """Return the statistics of the lists `best` [N, 20], with `nearer`, the effect of flipping the last feedback.

    - `log-popularity@20`: mean of ln(1 + training plays) of the listed tracks.
    - `repeats@20`: share of the listed tracks that are in the session's context (as far as a model reads).
    """
    real = best > 0
    plays = np.log1p(scene.split.training_counts)[best] * real
    repeated = np.zeros(len(best), np.int64)
    for index, batch in scene.contexts.blocks(4096):
        tracks = batch.padded.tracks.cpu().numpy()
        heard = (best[index][:, :, None] == tracks[:, None, :]).any(axis=2)
        repeated[index] = (heard & real[index]).sum(axis=1)
    return ListAnswers(plays.sum(axis=1), repeated, real.sum(axis=1), nearer)


def coverage(scene: EvaluationScene, best: NDArray[np.int32]) -> Estimate:
    """Return the share of the candidates in at least one list, without interval, since it grows with N."""
    listed = np.zeros(len(scene.split.training_counts), np.bool_)
    listed[best] = True
    listed[0] = False  # row 0 is padding
    return Estimate(int(listed.sum()) / max(len(scene.split.candidates), 1), np.nan, np.nan)


@dataclass(frozen=True)
class NearTracks:
    """The tracks near the last track of each context, the same for all models."""

    rows: NDArray[np.int32]
    """The NEAREST rows of each distinct last track by training co-occurrence, padded with -1, [U, NEAREST]."""
    last_index: NDArray[np.int64]
    """Index of the last track of each context in `rows`, [N]."""


def find_near(scene: EvaluationScene) -> NearTracks:
    """Return the NEAREST tracks by training co-occurrence of each context's last track, ties by lower row."""
    last = np.asarray(scene.store.tracks)[scene.contexts.cases.target - 1].astype(np.int64)
    distinct, last_index = np.unique(last, return_inverse=True)
    occurrences = TrainingRows.of(scene.store, scene.split).occurrences()
    by_track = occurrences.T.tocsr()
    near = np.full((len(distinct), NEAREST), -1, np.int32)
    for begin in range(0, len(distinct), _TRACKS_AT_ONCE):
        some = distinct[begin : begin + _TRACKS_AT_ONCE]
        counts = (by_track[some] @ occurrences).tocoo()
        other = counts.col != some[counts.row]
        row, col, value = counts.row[other], counts.col[other], counts.data[other]
        order = np.lexsort((col, -value, row))
        row, col = row[order], col[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        nearest = rank < NEAREST
        near[begin + row[nearest], rank[nearest]] = col[nearest]
    return NearTracks(near, last_index)


def nearer(
    scene: EvaluationScene, near: NearTracks, best: NDArray[np.int32], other: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the share of the list near the last track if it was listened to minus the share if it was skipped, [N].

    `best` [N, 20]: lists with the true feedback of the last input; `other`: with the flipped feedback.
    """
    true, flipped = _near_share(near, best), _near_share(near, other)
    return np.where(scene.listened(scene.contexts.cases.target - 1), true - flipped, flipped - true)


def _near_share(near: NearTracks, lists: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each list [N, K] that is near its context's last track, [N]."""
    shares = np.zeros(len(lists))
    for begin in range(0, len(lists), _LISTS_AT_ONCE):
        some = slice(begin, begin + _LISTS_AT_ONCE)
        rows = near.rows[near.last_index[some]]
        shares[some] = (lists[some, :, None] == rows[:, None, :]).any(axis=2).mean(axis=1)
    return shares
