"""Metrics: each a function of target ranks (1 = best, infinite = missed), one value a target; a table takes means."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.float64]
HIT_CUTOFFS: Final = (1, 5, 10, 20)


def hits(ranks: Ranks, cutoff: int) -> Ranks:
    """Return 1 where rank <= cutoff, else 0; the mean is HR@cutoff.

    >>> hits(np.array([1.0, 10.5, np.inf]), 10).tolist()
    [1.0, 0.0, 0.0]
    """
    return (ranks <= cutoff).astype(np.float64)


def gains(ranks: Ranks, cutoff: int) -> Ranks:
    """Return 1 / log2(rank + 1) where rank <= cutoff, else 0; the mean is NDCG@cutoff of one relevant track.

    >>> gains(np.array([1.0, 3.0, 11.0]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= cutoff, 1.0 / np.log2(ranks + 1.0), 0.0)


def reciprocals(ranks: Ranks) -> Ranks:
    """Return 1 / rank, 0 for a miss; the mean is MRR.

    >>> reciprocals(np.array([1.0, 4.0, np.inf])).tolist()
    [1.0, 0.25, 0.0]
    """
    return 1.0 / ranks


def values(ranks: Ranks) -> dict[str, Ranks]:
    """Return every rank metric by name, one value a target."""
    found = {f"hr@{cutoff}": hits(ranks, cutoff) for cutoff in HIT_CUTOFFS}
    return found | {"ndcg@10": gains(ranks, 10), "mrr": reciprocals(ranks)}


def pair_auc(listened: Ranks, skipped: Ranks, listened_first: NDArray[np.bool_]) -> float | None:
    """Return the mean of the AUCs of listened-first and of skipped-first pairs, ties 1/2; None without either order.

    `listened` and `skipped` are scores of the two held-out tracks of a session after their common context.

    >>> pair_auc(np.array([2.0, 1.0, 1.0]), np.array([1.0, 1.0, 3.0]), np.array([True, True, False]))
    0.375
    """
    won = (listened > skipped) + 0.5 * (listened == skipped)
    orders = [won[listened_first], won[~listened_first]]
    if min(map(len, orders)) == 0:
        return None
    return float(np.mean([part.mean() for part in orders]))
