"""The standing of tracks when all sessions share one order of tracks and each changes few scores."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.neighbours.sparse_scores import blocks
from segue.ranking.standing import NOTHING, Ranking, Standing

DENSE: Final = 16
"""Ratio of columns to requested rows up to which a dense row is faster than searching a sparse one."""
CHANGES_AT_ONCE: Final = 2**17
"""Changed scores compared at a time: a megabyte, which stays in the cache."""
SESSIONS_AT_ONCE: Final = 512

Rows = NDArray[np.integer[Any]]


class SharedOrder:
    """Scores shared by all sessions, sorted once; the cost of a session is the number of its changes, not V.

    Args:
        shared: score of each table row, float64 [R], no NaN.
        candidates: candidate rows, ascending.
    """

    def __init__(self, shared: NDArray[np.float64], candidates: NDArray[np.int32]) -> None:
        self._shared = shared
        self._allowed = np.zeros(len(shared), np.bool_)
        self._allowed[candidates] = True
        self._rows = candidates[np.argsort(-shared[candidates], kind="stable")].astype(np.int64)
        self._ascending = shared[self._rows][::-1]

    def stand(self, added: Any, tracks: NDArray[np.int64], k: int) -> Standing:
        """Return the standing of `tracks` [B, T] and the `k` best, with `added` added to the shared scores.

        `added`: sparse CSR [B, R] of finite values >= 0, float64; None = all 0.
        """
        changes = np.zeros(len(tracks), np.int64) if added is None else np.diff(added.indptr).astype(np.int64)
        scores, above, equal = (
            np.empty(tracks.shape),
            np.empty(tracks.shape, np.int64),
            np.empty(tracks.shape, np.int64),
        )
        best, best_scores = np.zeros((len(tracks), k), np.int64), np.full((len(tracks), k), NOTHING)
        for begin, end in blocks(changes, CHANGES_AT_ONCE, SESSIONS_AT_ONCE):
            some = slice(begin, end)
            part = None if added is None else added[some]
            who, columns, values = self._changes(part)
            target_scores = self._shared[tracks[some]]
            scores[some] = target_scores if part is None else values_at(part, tracks[some]) + target_scores
            above[some], equal[some] = self._counts(scores[some], who, columns, values)
            bounds = np.searchsorted(who, np.arange(end - begin + 1))
            self._fill_best(bounds, columns, values, (best[some], best_scores[some]))
        equal -= self._allowed[tracks]  # itself
        ranking = Ranking(torch.from_numpy(best), torch.from_numpy(best_scores))
        return Standing(torch.from_numpy(scores), torch.from_numpy(above), torch.from_numpy(equal), ranking)

    def _changes(self, added: Any) -> tuple[NDArray[np.int64], Rows, NDArray[np.float64]]:
        """Return session, row and score of each candidate whose score `added` changes, by session."""
        if added is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        who = np.repeat(np.arange(added.shape[0]), np.diff(added.indptr))
        columns, data = added.indices, added.data
        inside = self._allowed[columns]
        if not inside.all():
            who, columns, data = who[inside], columns[inside], data[inside]
        return who, columns, data + self._shared[columns]

    def _counts(
        self,
        scores: NDArray[np.float64],
        who: NDArray[np.int64],
        columns: Rows,
        values: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many candidates have a higher score than each of `scores` [B, T], and how many the same."""
        right = np.searchsorted(self._ascending, scores, "right")
        above = len(self._rows) - right
        equal = right - np.searchsorted(self._ascending, scores, "left")
        before, num = self._shared[columns], len(scores)
        for column, score in enumerate(scores.T):
            target_scores = score[who]
            above[:, column] += _count(who, values > target_scores, num) - _count(who, before > target_scores, num)
            equal[:, column] += _count(who, values == target_scores, num) - _count(who, before == target_scores, num)
        return above, equal

    def _fill_best(
        self,
        begin: NDArray[np.int64],
        columns: Rows,
        values: NDArray[np.float64],
        best: tuple[NDArray[np.int64], NDArray[np.float64]],
    ) -> None:
        """Write rows and scores of the best of each session; session i changes `columns[begin[i]:begin[i + 1]]`."""
        k = best[0].shape[1]
        if k == 0:
            return
        changed = np.zeros(len(self._shared), np.bool_)  # not an attribute: threads share the object
        first = self._rows[:k]  # added scores are >= 0: no other unchanged row can be among the k best
        for i in range(len(begin) - 1):
            rows, scores = columns[begin[i] : begin[i + 1]], values[begin[i] : begin[i + 1]]
            changed[rows] = True
            unchanged = first[~changed[first]]
            changed[rows] = False
            if len(rows) > k:
                among_best = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
                rows, scores = rows[among_best], scores[among_best]
            rows, scores = np.concatenate([rows, unchanged]), np.concatenate([scores, self._shared[unchanged]])
            order = np.lexsort((rows, -scores))[:k]
            best[0][i, : len(order)], best[1][i, : len(order)] = rows[order], scores[order]


def values_at(matrix: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of sparse CSR `matrix` [B, R] at `rows` [B, K]."""
    if matrix.shape[1] <= DENSE * rows.shape[1]:
        return np.asarray(np.take_along_axis(matrix.toarray(), rows, axis=1))
    if rows.size == 0:
        return np.zeros(rows.shape)
    session = np.repeat(np.arange(len(rows)), rows.shape[1])
    return np.asarray(matrix[session, rows.ravel()]).reshape(rows.shape)


def _count(who: NDArray[np.int64], counted: NDArray[np.bool_], num: int) -> NDArray[np.int64]:
    return np.bincount(who[counted], minlength=num)
