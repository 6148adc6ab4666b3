"""The trials of a study: those that choose each arm's settings, those that are reported, and the baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, final

from segue.recipes import Recipe
from segue.studies.design import TUNING_SEED, Arm, Design
from segue.studies.study_options import StudyOptions
from segue.studies.trials.optuna_search import OptunaSearch
from segue.studies.trials.pool import Schedule
from segue.studies.trials.search import GridSearch, Search
from segue.studies.trials.space import search_space
from segue.studies.trials.trial import WATCHED, Trial
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning
from segue.studies.wording import VALIDATED

BASELINES: Final = "baselines"
"""Name of the trial that measures them."""
_TUNING: Final = "--tuning-"
"""Part of the names of trials that choose settings."""


@final
class StudySchedule(Schedule):
    """Tuning first, then the arms whose settings are chosen, the longest first.

    The baselines come last on a CPU; beside GPUs they come first, since V-SKNN is slow and the CPU cores are free.
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
        recipes = {arm.name: arm.resolved(options.overrides) for arm in design.arms}
        self._longest_first = sorted(design.arms, key=lambda arm: recipes[arm.name].training.epochs, reverse=True)
        self._tunings = {
            arm.name: self._tuning(arm, recipes[arm.name], jobs) for arm in design.arms if arm.tuned_as is None
        }

    def _tuning(self, arm: Arm, recipe: Recipe, jobs: int) -> Tuning:
        """Return the search of an arm: over the design's grid, or Optuna's over the keys that the arm does not set."""
        options, points = self.options, self.design.settings()
        search: Search = GridSearch(points)
        if options.tuning_trials:
            space = search_space(recipe, {*options.overrides, *arm.changes})
            search = OptunaSearch(self.folder.path / f"optuna-{arm.name}.jsonl", space, TUNING_SEED, jobs)
        capped = {"training.epochs": options.tuning_epochs} if options.tuning_epochs else {}
        return Tuning(
            self.folder,
            search,
            options.tuning_trials or len(points),
            lambda keys: self._recipe(arm, {**capped, **keys}, TUNING_SEED),
            f"{arm.name}{_TUNING}",
        )

    def _recipe(self, arm: Arm, settings: Mapping[str, Any], seed: int) -> Recipe:
        """Return the recipe of a trial: arm < overrides < settings < seed."""
        return arm.resolved({**self.options.overrides, **settings, "training.seed": seed})

    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return the next trial."""
        return next(self._waiting(running), None)

    def report(self, name: str, epoch: int, value: float) -> bool:
        """Return whether the search of an arm's settings ends the trial there."""
        return self._tunings[name.partition(_TUNING)[0]].report(name, epoch, value)

    def end(self, name: str) -> None:
        """Take a trial that has ended."""
        arm, _, _ = name.partition(_TUNING)
        if arm != name:
            self._tunings[arm].end(name)
        if not self.options.keep_weights:
            self.folder.drop_run(name)

    @property
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be, the baselines among them."""
        names = [BASELINES, *(self.name(arm, seed) for arm in self.design.arms for seed in self.seeds)]
        counts = [tuning.counts for tuning in self._tunings.values()]
        ended = sum(map(self.folder.ended, names)) + sum(ended for ended, _ in counts)
        return ended, len(names) + sum(total for _, total in counts)

    @property
    def seeds(self) -> range:
        """The seeds that are reported."""
        return range(self.options.seeds)

    @staticmethod
    def name(arm: Arm, seed: int) -> str:
        """Return the name of a reported trial."""
        return f"{arm.name}--seed-{seed}"

    def tuning(self, arm: Arm) -> list[dict[str, Any]]:
        """Return the settings tried for an arm as dotted keys, each with its validation NDCG@20 and HR@10."""
        tuning = self._tunings[arm.tuned_as or arm.name]
        return [
            {
                **tuning.changes(tried.parameters),
                **{f"{VALIDATED}{metric}": tried.outcome.validation.get(metric) for metric in (WATCHED, "hr@10")},
            }
            for tried in tuning.tried.values()
        ]

    def settings(self, arm: Arm) -> dict[str, Any] | None:
        """Return an arm's chosen settings as dotted keys; None during its search, empty where it is not tuned.

        The settings with the best validation NDCG@20, the first where no trial finished. An arm that takes the settings
        of another keeps what it changes itself.
        """
        tuning = self._tunings[arm.tuned_as or arm.name]
        if len(tuning.tried) < tuning.count:
            return None
        chosen = tuning.changes((tuning.best or tuning.tried[0]).parameters) if tuning.count else {}
        return {key: value for key, value in chosen.items() if arm.tuned_as is None or key not in arm.changes}

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
                name = self.name(arm, seed)
                if name not in running and not self.folder.ended(name):
                    tables = self._recipe(arm, settings or {}, seed).to_tables()
                    yield Trial(name, tables, settings or {}, tested=True)
        yield from baselines

    def _baselines(self) -> Trial:
        """Return the trial that measures the baselines on the split that all arms share."""
        overrides, shared = self.options.overrides, ("data", "evaluation")
        changes = {key: value for key, value in overrides.items() if key.partition(".")[0] in shared}
        recipe = self.design.arms[0].resolved(changes)  # other keys may be those of other arms
        return Trial(BASELINES, recipe.to_tables(), trains=False, tested=True, baselines=self.options.baseline)
