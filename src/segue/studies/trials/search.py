"""Where the next trial of a search is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from segue.studies.trials.trial import Tried


class Search(ABC):
    """Proposes the settings of trials, one number after another, and is told how they ended.

    Started again after a kill, it proposes for each number what it proposed before.
    """

    judges: ClassVar[bool]
    """Whether it may end a trial early."""

    @abstractmethod
    def propose(self, number: int) -> dict[str, Any]:
        """Return the settings of trial `number`; asked in ascending order, numbers that have ended left out."""

    @abstractmethod
    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the validation metric of a trial's epoch (from 1); return whether the trial should end there."""

    @abstractmethod
    def end(self, tried: Tried) -> None:
        """Take a trial that has ended; one that was taken before changes nothing."""

    @abstractmethod
    def importance(self, tried: Collection[Tried]) -> dict[str, Any]:
        """Return `method` (a text), and `values`: the importance of each parameter, adding up to 1 or less."""


def best_of(tried: Iterable[Tried]) -> Tried | None:
    """Return the finished trial of the highest value, the earliest of equals; None where none has finished.

    A pruned trial is none of them: its value is that of an unfinished training.
    """
    finished = [one for one in tried if one.outcome.state == "finished" and one.value is not None]
    return min(finished, key=lambda one: (-float(one.value or 0.0), one.number), default=None)
