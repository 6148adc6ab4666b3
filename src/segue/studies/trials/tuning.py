"""A search over the settings of one recipe: its trials, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, final

from segue.recipes import Recipe
from segue.studies.trials.pool import Schedule
from segue.studies.trials.search import Search
from segue.studies.trials.space import changes
from segue.studies.trials.trial import Trial, Tried
from segue.studies.trials.trial_folder import TrialFolder


@final
class Tuning(Schedule):
    """The first `count` trials that a search proposes; validation alone decides, no test target is read."""

    def __init__(
        self,
        folder: TrialFolder,
        search: Search,
        count: int,
        recipe_of: Callable[[Mapping[str, Any]], Recipe],
        prefix: str = "",
        *,
        keep_weights: bool = True,
    ) -> None:
        """`recipe_of`: dotted keys to recipe; `prefix`: the beginning of these trials' names; `keep_weights` False:
        only the run of the best trial stays in the folder."""
        self._folder, self._recipe_of, self._prefix, self._keep_weights = folder, recipe_of, prefix, keep_weights
        self.search, self.count, self.tried = search, count, dict[int, Tried]()
        for number in range(count):
            if folder.ended(self.name(number)):
                self._take(number)  # the search may not know it: a kill came first
        self._drop_runs()

    def name(self, number: int) -> str:
        """Return the name of trial `number`."""
        return f"{self._prefix}{number:05d}"

    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return the next trial that is proposed."""
        for number in range(self.count):
            name = self.name(number)
            if number not in self.tried and name not in running:
                settings = self.search.propose(number)
                return Trial(name, self._recipe_of(self.changes(settings)).to_tables(), settings, self.search.judges)
        return None

    def report(self, name: str, epoch: int, value: float) -> bool:
        """Return whether the search ends the trial there."""
        return self.search.report(int(name.removeprefix(self._prefix)), epoch, value)

    def end(self, name: str) -> None:
        """Take a trial that has ended."""
        self._take(int(name.removeprefix(self._prefix)))
        self._drop_runs()

    def changes(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial as dotted keys of the recipe."""
        return changes(self.search.space, settings)

    @property
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be."""
        return len(self.tried), self.count

    @property
    def best(self) -> Tried | None:
        """The finished trial of the highest validation NDCG@20."""
        return best_of(self.tried.values())

    def _take(self, number: int) -> None:
        trial, outcome = self._folder.trial(self.name(number))
        tried = Tried(number, trial.settings, outcome)
        self.tried = dict(sorted({**self.tried, number: tried}.items()))
        self.search.end(tried)

    def _drop_runs(self) -> None:
        for number in () if self._keep_weights else self.tried:
            if self.best is None or number != self.best.number:
                self._folder.drop_run(self.name(number))


def best_of(tried: Iterable[Tried]) -> Tried | None:
    """Return the finished trial of the highest value, the earliest of equals; None where none has finished.

    A pruned trial does not count: its value is that of an unfinished training.
    """
    finished = [one for one in tried if one.outcome.state == "finished" and one.value is not None]
    return min(finished, key=lambda one: (-float(one.value or 0.0), one.number), default=None)
