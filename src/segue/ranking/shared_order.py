"""The standing of tracks when all sessions share one order of tracks and each changes few scores."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.ranking.standing import NOTHING, Ranking, Standing

DENSE: Final = 16
"""Ratio of columns to requested rows up to which a dense row is faster than searching a sparse one."""


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
        scores = self._shared[tracks]
        who, columns, values = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        if added is not None:
            scores = values_at(added, tracks) + scores
            who = np.repeat(np.arange(len(tracks)), np.diff(added.indptr))
            inside = self._allowed[added.indices]
            who, columns = who[inside], added.indices[inside].astype(np.int64)
            values = added.data[inside] + self._shared[columns]
        right = np.searchsorted(self._ascending, scores, "right")
        above = len(self._rows) - right
        equal = right - np.searchsorted(self._ascending, scores, "left")
        for column, score in enumerate(scores.T):
            before, after = self._shared[columns] - score[who], values - score[who]
            above[:, column] += _count(who, (after > 0).astype(np.int64) - (before > 0), len(scores))
            equal[:, column] += _count(who, (after == 0).astype(np.int64) - (before == 0), len(scores))
        equal -= self._allowed[tracks]  # itself
        best = self._best(np.searchsorted(who, np.arange(len(scores) + 1)), columns, values, k)
        return Standing(torch.from_numpy(scores), torch.from_numpy(above), torch.from_numpy(equal), best)

    def _best(
        self, begin: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64], k: int
    ) -> Ranking:
        """Return the `k` best of each session; session i changes `columns[begin[i]:begin[i + 1]]`."""
        num = len(begin) - 1
        best, best_scores = np.zeros((num, k), np.int64), np.full((num, k), NOTHING)
        changed = np.zeros(len(self._shared), np.bool_)  # not an attribute: threads share the object
        first = self._rows[:k]  # added scores are >= 0: no other unchanged row can be among the k best
        for i in range(num):
            rows, scores = columns[begin[i] : begin[i + 1]], values[begin[i] : begin[i + 1]]
            changed[rows] = True
            unchanged = first[~changed[first]]
            changed[rows] = False
            if len(rows) > k > 0:
                among_best = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
                rows, scores = rows[among_best], scores[among_best]
            rows, scores = np.concatenate([rows, unchanged]), np.concatenate([scores, self._shared[unchanged]])
            order = np.lexsort((rows, -scores))[:k]
            best[i, : len(order)], best_scores[i, : len(order)] = rows[order], scores[order]
        return Ranking(torch.from_numpy(best), torch.from_numpy(best_scores))


def values_at(matrix: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of sparse CSR `matrix` [B, R] at `rows` [B, K]."""
    if matrix.shape[1] <= DENSE * rows.shape[1]:
        return np.asarray(np.take_along_axis(matrix.toarray(), rows, axis=1))
    if rows.size == 0:
        return np.zeros(rows.shape)
    session = np.repeat(np.arange(len(rows)), rows.shape[1])
    return np.asarray(matrix[session, rows.ravel()]).reshape(rows.shape)


def _count(who: NDArray[np.int64], weight: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    return np.bincount(who, weights=weight, minlength=num).astype(np.int64)
