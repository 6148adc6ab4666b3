"""Where the next trial of a search is: the interface, and a search over a grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, final

import numpy as np

from segue.studies.trials.space import Dimension
from segue.studies.trials.trial import Tried


class Search(ABC):
    """Proposes the settings of trials by number, and learns how they ended.

    After a kill and a restart, it proposes the same settings for each number as before.
    """

    judges: ClassVar[bool] = False
    """Whether it may end a trial early."""
    space: Sequence[Dimension] = ()
    """What varies, and between which ends; empty where settings are dotted keys of the recipe."""

    @abstractmethod
    def propose(self, number: int) -> dict[str, Any]:
        """Return the settings of trial `number`; called in ascending order, without the numbers that have ended."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the validation metric of a trial's epoch (from 1); return whether the trial should end there."""
        return False

    def end(self, tried: Tried) -> None:  # noqa: B027 - a search that does not learn does nothing
        """Take a trial that has ended; a second call for the same trial changes nothing."""

    @abstractmethod
    def importance(self, tried: Collection[Tried]) -> dict[str, Any]:
        """Return `method` (a text), and `values`: the importance of each parameter, adding up to 1 or less."""


@final
class GridSearch(Search):
    """The points of a grid in its order; none is cut short, so that all have the same budget."""

    def __init__(self, points: Sequence[Mapping[str, Any]], space: Sequence[Dimension] = ()) -> None:
        self.points, self.space = points, space

    def propose(self, number: int) -> dict[str, Any]:
        """Return the point of trial `number`."""
        return dict(self.points[number])

    def importance(self, tried: Collection[Tried]) -> dict[str, Any]:
        """Return the share of the variance of NDCG@20 over the grid that each parameter's main effect explains."""
        values = main_effects([one for one in tried if one.value is not None])
        return {"method": "share of variance explained by the main effect", "values": values}


def main_effects(tried: Sequence[Tried]) -> dict[str, float]:
    """Return, for each parameter, the share of the variance of the trials' values that its level means explain.

    share = sum over levels l of n_l (mean_l - mean)^2 / sum over trials (value - mean)^2: the first-order term of the
    analysis of variance. On a whole grid the shares add up to at most 1; what lacks is interaction. If only one
    parameter varies, its share is 1. Empty for fewer than two trials, or equal values.
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
