"""The trials of a study: those that choose each arm's settings, those that are reported, and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from segue.recipes import Recipe
from segue.studies.design import TUNING_SEED, Arm, Design
from segue.studies.study_options import StudyOptions
from segue.studies.trials.grid import GridSearch
from segue.studies.trials.optuna_search import OptunaSearch
from segue.studies.trials.schedule import Schedule
from segue.studies.trials.search import Search
from segue.studies.trials.space import changes, search_space
from segue.studies.trials.trial import Trial
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning

BASELINES: Final = "baselines"
"""Name of the trial that measures them."""
_TUNING: Final = "--tuning-"
"""Stands in the names of trials that choose settings."""


@dataclass(frozen=True)
class TuningStage:
    """The search that chooses the settings of one arm."""

    tuning: Tuning
    dotted: Callable[[Mapping[str, Any]], dict[str, Any]]
    """The search's own names to dotted keys of the recipe."""

    @classmethod
    def of(cls, folder: TrialFolder, design: Design, options: StudyOptions, arm: Arm, jobs: int) -> TuningStage:
        """Return the search over the design's grid, or Optuna's over what the arm itself does not set."""
        search: Search = GridSearch(design.settings())
        count = len(design.settings())
        dotted: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
        if options.tuning_trials:
            recipe = arm.resolved(options.overrides)
            space = search_space(recipe, {*options.overrides, *arm.changes})
            search = OptunaSearch(folder.path / f"optuna-{arm.name}.jsonl", space, TUNING_SEED, jobs)
            count, dotted = options.tuning_trials, lambda parameters: changes(recipe, space, parameters)
        recipe_of: Callable[[Mapping[str, Any]], Recipe] = lambda point: options.tuning_recipe(arm, dotted(point))  # noqa: E731
        return cls(Tuning(folder, search, count, recipe_of, f"{arm.name}{_TUNING}"), dotted)

    def chosen(self) -> dict[str, Any] | None:
        """Return the settings with the best validation HR@10, the first where none finished; None while it goes on."""
        if len(self.tuning.tried) < self.tuning.count:
            return None
        return self.dotted((self.tuning.best or self.tuning.tried[0]).parameters) if self.tuning.count else {}


@final
class StudySchedule(Schedule):
    """Tuning first, then the arms whose settings are chosen, the longest first.

    The baselines come last on a CPU; beside GPUs they come first, since V-SKNN takes long on the cores that wait there.
    """

    def __init__(
        self,
        folder: TrialFolder,
        design: Design,
        options: StudyOptions,
        *,
        jobs: int = 1,
        baselines_first: bool = False,
    ) -> None:
        """`jobs`: trials that train at a time."""
        self.folder, self.design, self.options, self._baselines_first = folder, design, options, baselines_first
        epochs = {arm.name: arm.resolved(options.overrides).training.epochs for arm in design.arms}
        self._longest_first = sorted(design.arms, key=lambda arm: epochs[arm.name], reverse=True)
        self._stages = {
            arm.name: TuningStage.of(folder, design, options, arm, jobs) for arm in design.arms if arm.tuned_as is None
        }

    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return the next trial."""
        return next(self._waiting(running), None)

    def report(self, name: str, epoch: int, value: float) -> bool:
        """Return whether the search of an arm's settings ends the trial there."""
        return self._stages[name.partition(_TUNING)[0]].tuning.report(name, epoch, value)

    def end(self, name: str) -> None:
        """Take a trial that has ended."""
        arm, _, _ = name.partition(_TUNING)
        if arm != name:
            self._stages[arm].tuning.end(name)
        if not self.options.keep_weights:
            self.folder.drop_run(name)

    @property
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be, the baselines among them."""
        names = [BASELINES, *(self.name(arm, seed) for arm in self.design.arms for seed in self.seeds)]
        tuning = [stage.tuning.counts for stage in self._stages.values()]
        ended = sum(map(self.folder.ended, names)) + sum(ended for ended, _ in tuning)
        return ended, len(names) + sum(total for _, total in tuning)

    @property
    def seeds(self) -> range:
        """The seeds that are reported."""
        return range(self.options.seeds)

    @staticmethod
    def name(arm: Arm, seed: int) -> str:
        """Return the name of a reported trial."""
        return f"{arm.name}--seed-{seed}"

    def tuning(self, arm: Arm) -> list[dict[str, Any]]:
        """Return the settings tried for an arm as dotted keys, each with its validation HR@10."""
        stage = self._stages[arm.tuned_as or arm.name]
        return [
            {**stage.dotted(tried.parameters), "validation_hr@10": tried.value} for tried in stage.tuning.tried.values()
        ]

    def settings(self, arm: Arm) -> dict[str, Any] | None:
        """Return an arm's chosen settings as dotted keys; None while its search goes on, none where it is not tuned.

        An arm that takes the settings of another keeps what it changes itself.
        """
        chosen = self._stages[arm.tuned_as or arm.name].chosen()
        if chosen is None or arm.tuned_as is None:
            return chosen
        return {key: value for key, value in chosen.items() if key not in arm.changes}

    def _waiting(self, running: Collection[str]) -> Iterator[Trial]:
        """Yield the trials that can begin."""
        baselines = [] if BASELINES in running or self.folder.ended(BASELINES) else [self._baselines()]
        if self._baselines_first:
            yield from baselines
        for arm in self._longest_first:
            if arm.tuned_as is None and (trial := self._stages[arm.name].tuning.next_trial(running)) is not None:
                yield trial
        for arm in self._longest_first:
            settings = self.settings(arm)
            for seed in self.seeds if settings is not None else ():
                if self.name(arm, seed) not in running and not self.folder.ended(self.name(arm, seed)):
                    yield self._reported(arm, settings or {}, seed)
        yield from baselines

    def _reported(self, arm: Arm, settings: Mapping[str, Any], seed: int) -> Trial:
        tables = self.options.recipe(arm, settings, seed).to_tables()
        return Trial(self.name(arm, seed), tables, dict(settings), tested=True)

    def _baselines(self) -> Trial:
        """Return the trial that measures the baselines on the split that all arms share."""
        shared = {
            key: value
            for key, value in self.options.overrides.items()
            if key.partition(".")[0] in ("data", "evaluation")
        }
        recipe = self.design.arms[0].resolved(shared)  # other keys may be those of other arms
        return Trial(BASELINES, recipe.to_tables(), trains=False, tested=True, baselines=self.options.baselines)
