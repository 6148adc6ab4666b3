"""The trials of a study: those that choose each arm's settings, those that are reported, and the baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from segue.recipes import Recipe
from segue.studies.design import TUNING_SEED, Arm, Design
from segue.studies.trials.grid import GridSearch
from segue.studies.trials.schedule import Schedule
from segue.studies.trials.trial import Trial, Tried
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning

BASELINES: Final = "baselines"
"""Name of the trial that measures them."""


@dataclass(frozen=True)
class StudyPlan:
    """How often the arms of a design are trained, and what is laid over them."""

    design: Design
    seeds: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tuning_epochs: int = 0
    """Epoch cap of the trials that choose settings; 0 = the recipe's."""
    baselines: tuple[str, ...] = ()
    keep_weights: bool = False

    def recipe(self, arm: Arm, settings: Mapping[str, Any], seed: int) -> Recipe:
        """Return what a trial trains: arm < overrides < settings < seed."""
        return arm.resolved({**self.overrides, **settings, "training.seed": seed})

    def tuning_recipe(self, arm: Arm, settings: Mapping[str, Any]) -> Recipe:
        """Return what a trial trains that chooses settings."""
        capped = {"training.epochs": self.tuning_epochs} if self.tuning_epochs else {}
        return self.recipe(arm, {**capped, **settings}, TUNING_SEED)


@final
class StudySchedule(Schedule):
    """Tuning first, then the arms whose settings are chosen, the longest first.

    The baselines come last on a CPU; beside GPUs they come first, since V-SKNN takes long on the cores that wait there.
    """

    def __init__(self, folder: TrialFolder, plan: StudyPlan, *, baselines_first: bool = False) -> None:
        self.folder, self.plan, self._baselines_first = folder, plan, baselines_first
        points = plan.design.settings()
        epochs = {arm.name: arm.resolved(plan.overrides).training.epochs for arm in plan.design.arms}
        self._longest_first = sorted(plan.design.arms, key=lambda arm: epochs[arm.name], reverse=True)
        self._tunings = {
            arm.name: Tuning(folder, GridSearch(points), len(points), self._tuning_recipe(arm), f"{arm.name}--tuning-")
            for arm in plan.design.arms
            if arm.tuned_as is None
        }

    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return the next trial."""
        return next(self._waiting(running), None)

    def report(self, name: str, epoch: int, value: float) -> bool:
        """Return False: all arms have the same budget."""
        return False

    def end(self, name: str) -> None:
        """Take a trial that has ended."""
        arm, _, _ = name.partition("--tuning-")
        if arm != name:
            self._tunings[arm].end(name)
        if not self.plan.keep_weights:
            self.folder.drop_runs()

    @property
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be, the baselines among them."""
        ended = sum(tuning.counts[0] for tuning in self._tunings.values())
        ended += sum(self.folder.ended(self.name(arm, seed)) for arm in self.plan.design.arms for seed in self.seeds)
        return ended + self.folder.ended(BASELINES), self.plan.design.num_trainings(self.plan.seeds) + 1

    @property
    def seeds(self) -> range:
        """The seeds that are reported."""
        return range(self.plan.seeds)

    @staticmethod
    def name(arm: Arm, seed: int) -> str:
        """Return the name of a reported trial."""
        return f"{arm.name}--seed-{seed}"

    def tried(self, arm: Arm) -> list[Tried]:
        """Return the trials that choose an arm's settings."""
        return list(self._tunings[arm.tuned_as or arm.name].tried.values())

    def settings(self, arm: Arm) -> Mapping[str, Any] | None:
        """Return an arm's settings: those with the best validation HR@10, the first where all failed; None if unknown.

        An arm that is not tuned has the recipe's own: no settings.
        """
        tuning = self._tunings[arm.tuned_as or arm.name]
        if len(tuning.tried) < tuning.count:
            return None
        return (tuning.best or tuning.tried[0]).parameters if tuning.count else {}

    def _tuning_recipe(self, arm: Arm) -> Any:
        return lambda settings: self.plan.tuning_recipe(arm, settings)

    def _waiting(self, running: Collection[str]) -> Iterator[Trial]:
        """Yield the trials that can begin."""
        baselines = [] if BASELINES in running or self.folder.ended(BASELINES) else [self._baselines()]
        if self._baselines_first:
            yield from baselines
        for arm in self._longest_first:
            if arm.tuned_as is None and (trial := self._tunings[arm.name].next_trial(running)) is not None:
                yield trial
        for arm in self._longest_first:
            settings = self.settings(arm)
            for seed in self.seeds if settings is not None else ():
                if self.name(arm, seed) not in running and not self.folder.ended(self.name(arm, seed)):
                    yield self._reported(arm, settings or {}, seed)
        yield from baselines

    def _reported(self, arm: Arm, settings: Mapping[str, Any], seed: int) -> Trial:
        tables = self.plan.recipe(arm, settings, seed).to_tables()
        return Trial(self.name(arm, seed), tables, dict(settings), tested=True)

    def _baselines(self) -> Trial:
        """Return the trial that measures the baselines on the split that all arms share."""
        shared = {
            key: value for key, value in self.plan.overrides.items() if key.partition(".")[0] in ("data", "evaluation")
        }
        recipe = self.plan.design.arms[0].resolved(shared)  # other keys may be those of other arms
        return Trial(BASELINES, recipe.to_tables(), trains=False, tested=True, baselines=self.plan.baselines)
