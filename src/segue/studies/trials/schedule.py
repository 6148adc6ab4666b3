"""What is made next, and what is learnt from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from segue.studies.trials.trial import Trial


class Schedule(ABC):
    """The trials of a study or a search; the pool asks it whenever a worker is free."""

    @abstractmethod
    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return a trial that can begin now and is not `running`; None where there is none yet, or none left."""

    @abstractmethod
    def report(self, name: str, epoch: int, value: float) -> bool:
        """Take the validation HR@10 of a trial's epoch (from 1); return whether the trial should end there."""

    @abstractmethod
    def end(self, name: str) -> None:
        """Take a trial that has ended; its outcome is in the folder."""

    @property
    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be."""
