"""Ranks of targets, and metrics of ranks. Each is the mean of a value per target, over the targets that define it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Bool, Float, Int

CUTOFFS: Final = (1, 5, 10, 20)
NDCG_AT: Final = 10
Ranks = NDArray[np.float64]
Column = NDArray[np.float64] | NDArray[np.bool_]
Ratio = tuple[Column, Column]
"""Numerator and denominator of each target; a metric is the ratio of their sums."""


def rank_of(above: Int[Tensor, "*shape"], equal: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the rank of targets by the numbers of rivals above and equal: ties count half, float64."""
    return 1.0 + above.double() + equal.double() / 2


def target_rank(
    target: Float[Tensor, " B"], rivals: Float[Tensor, "B K"], present: Bool[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """Return 1 + #not(score <= target) + #equal / 2 over the present rivals, not rounded, float64.

    A NaN rival counts above; a NaN target ranks after every rival. Constant scores give 1 + K / 2: no hits.

    >>> import torch
    >>> rivals = torch.tensor([[3.0, 2.0, 2.0, 1.0]])
    >>> target_rank(torch.tensor([2.0]), rivals, torch.ones(1, 4, dtype=torch.bool))  # one above, two equal
    tensor([3.], dtype=torch.float64)
    """
    above = (~(rivals <= target[:, None]) & present).sum(dim=1)
    return rank_of(above, ((rivals == target[:, None]) & present).sum(dim=1))


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


AT_CUTOFF: Final[Mapping[str, Callable[[Ranks, int], NDArray[np.float64]]]] = {"hr": hit, "ndcg": gain}
RANK_METRICS: Final = (*(f"hr@{cutoff}" for cutoff in CUTOFFS), f"ndcg@{NDCG_AT}", "mrr")
"""Rank metrics of every table; `rank_values` accepts any other cutoff as well."""


def rank_values(name: str, ranks: Ranks) -> NDArray[np.float64] | None:
    """Return the values of rank metric `name` by target: 'mrr', 'hr@K' or 'ndcg@K' for any K >= 1; None if unknown.

    >>> rank_values("hr@3", np.array([1.0, 3.5])).tolist()
    [1.0, 0.0]
    """
    if name == "mrr":
        return reciprocal(ranks)
    kind, _, cutoff = name.partition("@")
    if kind not in AT_CUTOFF or not (cutoff.isascii() and cutoff.isdigit()) or int(cutoff) < 1:
        return None
    return AT_CUTOFF[kind](ranks, int(cutoff))


def concordance(listened: NDArray[np.float64], skipped: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the listened track scores higher than the skipped one, 1/2 where equal, else 0.

    >>> concordance(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.asarray((listened > skipped) + 0.5 * (listened == skipped), dtype=np.float64)
