"""Metrics of a ranking against a set of targets: one value for each case, from which of its K tracks are hits.

Yambda's benchmark was published with two forms of each metric, which differ where a case has more than one target
(Ploshkin et al. 2025; the second is that of its code since):

- recall: hits / n, or hits / min(n, K), n = targets of the case;
- NDCG over cases: sum of DCG / sum of ideal DCG, or the mean of DCG / ideal DCG.

Its n counts plays: a track that is played twice on the day counts twice there, and can be hit once.

The hits of a case without targets are none; such a case is not counted (0 / 0 here is 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.axes import Bool, Float, Int

Values = NDArray[np.float64]


def discounts(cutoff: int) -> Values:
    """Return 1 / log2(1 + rank) of ranks 1..`cutoff`."""
    return np.asarray(1.0 / np.log2(np.arange(2.0, cutoff + 2.0)))


def dcg(hits: Bool[np.ndarray, "N K"], cutoff: int) -> Float[np.ndarray, " N"]:
    """Return the sum of 1 / log2(1 + rank) over the hits within the cutoff.

    >>> dcg(np.array([[True, False, True]]), 3).tolist()
    [1.5]
    """
    shown = hits[:, :cutoff]
    return np.asarray(shown @ discounts(shown.shape[1]))


def ideal_dcg(num: Int[np.ndarray, " N"], cutoff: int) -> Float[np.ndarray, " N"]:
    """Return the DCG of a list whose first tracks are the `num` targets; the cutoff bounds it.

    >>> ideal_dcg(np.array([0, 1, 2]), 10).round(3).tolist()
    [0.0, 1.0, 1.631]
    """
    return np.asarray(np.concatenate(([0.0], np.cumsum(discounts(cutoff))))[np.minimum(num, cutoff)])


def ndcg(hits: Bool[np.ndarray, "N K"], num: Int[np.ndarray, " N"], cutoff: int) -> Float[np.ndarray, " N"]:
    """Return DCG / ideal DCG of each case, 0 without targets.

    >>> ndcg(np.array([[True, False, True], [False, True, False]]), np.array([2, 1]), 3).round(3).tolist()
    [0.92, 0.631]
    """
    return _ratio(dcg(hits, cutoff), ideal_dcg(num, cutoff))


def recall(
    hits: Bool[np.ndarray, "N K"], num: Int[np.ndarray, " N"], cutoff: int, *, capped: bool = False
) -> Float[np.ndarray, " N"]:
    """Return the share of the `num` targets that are among the first `cutoff` tracks, 0 without targets.

    `capped`: the share of those that have room there, hits / min(num, cutoff).

    >>> recall(np.array([[True, False]]), np.array([4]), 2).tolist()
    [0.25]
    >>> recall(np.array([[True, False]]), np.array([4]), 2, capped=True).tolist()
    [0.5]
    """
    found = hits[:, :cutoff].sum(axis=1).astype(np.float64)
    return _ratio(found, (np.minimum(num, cutoff) if capped else num).astype(np.float64))


def hit_rate(hits: Bool[np.ndarray, "N K"], cutoff: int) -> Float[np.ndarray, " N"]:
    """Return 1 where one of the first `cutoff` tracks is a target, else 0.

    >>> hit_rate(np.array([[True, False], [False, False]]), 2).tolist()
    [1.0, 0.0]
    """
    return np.asarray(hits[:, :cutoff].any(axis=1), np.float64)


def _ratio(over: Values, under: Values) -> Values:
    return np.asarray(np.divide(over, under, out=np.zeros(len(over)), where=under > 0))
