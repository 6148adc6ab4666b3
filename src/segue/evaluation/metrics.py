"""Metrics of target ranks. Each is a mean of a value a target has, over the targets it is defined on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

CUTOFFS: Final = (1, 5, 10, 20)
NDCG_AT: Final = 10
Ranks = NDArray[np.float64]


def hit(ranks: Ranks, cutoff: int) -> NDArray[np.float64]:
    """Return 1 where rank <= cutoff, else 0; HR@K is its mean. A miss has rank infinity.

    >>> hit(np.array([1.0, 10.5, np.inf]), 10).tolist()
    [1.0, 0.0, 0.0]
    """
    return (ranks <= cutoff).astype(np.float64)


def gain(ranks: Ranks, cutoff: int = NDCG_AT) -> NDArray[np.float64]:
    """Return 1 / log2(1 + rank) within the cutoff, else 0; NDCG@K is its mean (one relevant track: ideal gain 1).

    >>> gain(np.array([1.0, 3.0, 11.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= cutoff, 1.0 / np.log2(1.0 + ranks), 0.0)


def reciprocal(ranks: Ranks) -> NDArray[np.float64]:
    """Return 1 / rank, 0 for a miss; MRR is its mean.

    >>> reciprocal(np.array([2.0, np.inf])).tolist()
    [0.5, 0.0]
    """
    return 1.0 / ranks


def target_values(ranks: Ranks) -> dict[str, NDArray[np.float64]]:
    """Return the per-target values of every rank metric by name."""
    values = {f"hr@{cutoff}": hit(ranks, cutoff) for cutoff in CUTOFFS}
    return values | {f"ndcg@{NDCG_AT}": gain(ranks), "mrr": reciprocal(ranks)}


def concordance(listened: NDArray[np.float64], skipped: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the listened track scores higher than the skipped one, 1/2 where equal, else 0.

    >>> concordance(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.asarray((listened > skipped) + 0.5 * (listened == skipped), dtype=np.float64)


Ratio = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Numerator and denominator of each target: a metric is sum of the one over sum of the other."""


def ratios(ranks: Ranks, groups: Mapping[str, NDArray[np.bool_]]) -> dict[str, Ratio]:
    """Return the ratio of each metric, over all targets and over each group ('hr@10.listened')."""
    result: dict[str, Ratio] = {}
    everyone, members = np.ones(len(ranks)), {group: member.astype(np.float64) for group, member in groups.items()}
    for name, values in target_values(ranks).items():
        result[name] = values, everyone
        for group, member in members.items():
            result[f"{name}.{group}"] = values * member, member
    return result
