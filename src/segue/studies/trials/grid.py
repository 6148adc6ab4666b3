"""A search over a grid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import numpy as np

from segue.studies.trials.search import Search
from segue.studies.trials.trial import Tried


@final
class GridSearch(Search):
    """The points of a grid in its order; none is cut short, so that all have the same budget."""

    judges = False

    def __init__(self, points: Sequence[Mapping[str, Any]]) -> None:
        self.points = points

    def propose(self, number: int) -> dict[str, Any]:
        """Return the point of trial `number`."""
        return dict(self.points[number])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Return False."""
        return False

    def end(self, tried: Tried) -> None:
        """Do nothing."""

    def importance(self, tried: Collection[Tried]) -> dict[str, Any]:
        """Return the share of the variance of HR@10 over the grid that each parameter's main effect explains."""
        values = main_effects([one for one in tried if one.value is not None])
        return {"method": "share of variance explained by the main effect", "values": values}


def main_effects(tried: Sequence[Tried]) -> dict[str, float]:
    """Return, for each parameter, the share of the variance of the trials' values that its level means explain.

    share = sum over levels l of n_l (mean_l - mean)^2 / sum over trials (value - mean)^2: the first-order term of the
    analysis of variance. On a whole grid the shares add up to at most 1, and what lacks is interaction. A parameter
    that alone is varied has share 1. Empty for fewer than two trials, or equal values.
    """
    values = np.array([one.value for one in tried], dtype=np.float64)
    total = float(((values - values.mean()) ** 2).sum()) if len(values) > 1 else 0.0
    if total == 0.0:
        return {}
    shares = {}
    for name in tried[0].parameters:
        _, level = np.unique([one.parameters[name] for one in tried], return_inverse=True)
        count = np.bincount(level)
        means = np.bincount(level, values) / count
        shares[name] = float((count * (means - values.mean()) ** 2).sum()) / total
    return dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))
