"""Where tracks stand when sessions share one order of all tracks and each departs from it in a few."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.ranking.standing import NOTHING, Ranking, Standing

DENSE: Final = 16
"""Up to so many times the rows asked for, reading a dense row is faster than searching a sparse one."""


class SharedOrder:
    """Scores that all sessions share, ordered once: a session then costs what it departs in, never V.

    Args:
        shared: score of each table row, float64 [R], no NaN.
        candidates: rows that may be ranked, ascending.
    """

    def __init__(self, shared: NDArray[np.float64], candidates: NDArray[np.int32]) -> None:
        self._shared = shared
        self._allowed = np.zeros(len(shared), np.bool_)
        self._allowed[candidates] = True
        self._rows = candidates[np.argsort(-shared[candidates], kind="stable")].astype(np.int64)
        self._ascending = shared[self._rows][::-1]

    def stand(self, known: Any, tracks: NDArray[np.int64], k: int) -> Standing:
        """Return the standing of `tracks` [B, T] and the `k` best, where `known` is added to the shared scores.

        `known`: sparse CSR [B, R] of finite values >= 0, float64; None adds nothing.
        """
        own = self._shared[tracks]
        who, columns = np.zeros(0, np.int64), np.zeros(0, np.int64)
        values = np.zeros(0)
        if known is not None:
            own = known_at(known, tracks) + own
            who = np.repeat(np.arange(len(tracks)), np.diff(known.indptr))
            inside = self._allowed[known.indices]
            who, columns = who[inside], known.indices[inside].astype(np.int64)
            values = known.data[inside] + self._shared[columns]
        right = np.searchsorted(self._ascending, own, "right")
        above = len(self._rows) - right
        equal = right - np.searchsorted(self._ascending, own, "left")
        for place, score in enumerate(own.T):
            before, after = self._shared[columns] - score[who], values - score[who]
            above[:, place] += _count(who, (after > 0).astype(np.int64) - (before > 0), len(own))
            equal[:, place] += _count(who, (after == 0).astype(np.int64) - (before == 0), len(own))
        equal -= self._allowed[tracks]  # itself
        best = self._best(np.searchsorted(who, np.arange(len(own) + 1)), columns, values, k)
        return Standing(torch.from_numpy(own), torch.from_numpy(above), torch.from_numpy(equal), best)

    def _best(
        self, begin: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64], k: int
    ) -> Ranking:
        """Return the `k` best of each session, whose departures are `columns[begin[i]:begin[i + 1]]`."""
        num = len(begin) - 1
        rows, scores = np.zeros((num, k), np.int64), np.full((num, k), NOTHING)
        departed = np.zeros(len(self._shared), np.bool_)  # not the object's own: threads share that
        for i in range(num):
            own = slice(begin[i], begin[i + 1])
            found, score = self._best_of_one(columns[own], values[own], k, departed)
            rows[i, : len(found)], scores[i, : len(found)] = found, score
        return Ranking(torch.from_numpy(rows), torch.from_numpy(scores))

    def _best_of_one(
        self, columns: NDArray[np.int64], values: NDArray[np.float64], k: int, departed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # what a session adds only lifts: of the rows it leaves alone, none past the first k can be among its k best
        first = self._rows[:k]
        departed[columns] = True
        rest = first[~departed[first]]
        departed[columns] = False
        if len(columns) > k > 0:
            kept = values >= np.partition(values, len(values) - k)[len(values) - k]
            columns, values = columns[kept], values[kept]
        rows, scores = np.concatenate([columns, rest]), np.concatenate([values, self._shared[rest]])
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]


def known_at(known: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of sparse CSR `known` [B, R] at `rows` [B, K]."""
    if known.shape[1] <= DENSE * rows.shape[1]:
        return np.asarray(np.take_along_axis(known.toarray(), rows, axis=1))
    if rows.size == 0:
        return np.zeros(rows.shape)
    session = np.repeat(np.arange(len(rows)), rows.shape[1])
    return np.asarray(known[session, rows.ravel()]).reshape(rows.shape)


def _count(who: NDArray[np.int64], weight: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    return np.bincount(who, weights=weight, minlength=num).astype(np.int64)
