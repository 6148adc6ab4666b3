"""Where the next trial is: a grid, or whatever else proposes points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

from segue.tuning.importance import main_effects
from segue.tuning.trial import Trial


class Search(ABC):
    """Proposes the points of trials, one number after another, and hears what came of them.

    All that it knows it takes from `ended`, what it wrote itself, and what it is told: started again after a kill, it
    proposes for each number what it proposed before.
    """

    @abstractmethod
    def propose(self, number: int) -> dict[str, float]:
        """Return the point of trial `number`; asked in ascending order, numbers that have ended left out."""

    @abstractmethod
    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the validation metric of a trial's epoch (from 1); return whether the trial should end there."""

    @abstractmethod
    def end(self, trial: Trial) -> None:
        """Take a trial that has ended."""

    @abstractmethod
    def importance(self, trials: Collection[Trial]) -> dict[str, Any]:
        """Return `method` (a text), and `values`: the importance of each parameter, adding up to 1 or less."""


@final
class GridSearch(Search):
    """The points of a grid in its order; none is cut short, so that all have the same budget."""

    def __init__(self, points: Sequence[Mapping[str, float]]) -> None:
        self.points = points

    def propose(self, number: int) -> dict[str, float]:
        """Return the point of trial `number`."""
        return dict(self.points[number])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Return False."""
        return False

    def end(self, trial: Trial) -> None:
        """Do nothing."""

    def importance(self, trials: Collection[Trial]) -> dict[str, Any]:
        """Return the share of the variance of HR@10 over the grid that each parameter's main effect explains."""
        values = main_effects([trial for trial in trials if trial.value is not None])
        return {"method": "share of variance explained by the main effect", "values": values}
