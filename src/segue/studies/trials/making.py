"""Makes trials: trains one, measures it on the test targets if it is tested, and writes how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from segue.batches.split import split_store
from segue.errors import NonFiniteError
from segue.evaluation import (
    Evaluation,
    Kind,
    Row,
    Table,
    assembled,
    keeping_neighbours,
    make_scene,
    scorer_rows,
    settle_ranking,
    validating,
)
from segue.progress import Progress
from segue.ranking import Scorer, fit_baselines, head_scorers, model_scorers
from segue.ranking.baselines import chosen_options
from segue.recipes import Recipe, recipe_from_tables
from segue.runs import RunFolder, load_run
from segue.store import Store
from segue.studies.trials.trial import WATCHED, Outcome, Trial
from segue.studies.trials.trial_folder import TrialFolder
from segue.training import FitOptions, FitResult, Stop, fit

ENVIRONMENT: Final = ("segue", "commit", "python", "torch", "device_name", "precision", "threads")
"""Keys of a run's environment that are written."""


@dataclass(frozen=True)
class Workplace:
    """Where a worker makes its trials."""

    folder: str
    store: str
    device: str
    index: int
    """Index of the CUDA device."""
    precision: str
    threads: int
    command: int
    """Id of the process that starts the worker."""


class Maker:
    """Makes one trial after another; trials that share their test targets share the table of them."""

    def __init__(self, workplace: Workplace) -> None:
        self._folder, self._store = TrialFolder(workplace.folder), Store(Path(workplace.store))
        self._options = FitOptions(device=workplace.device, precision=workplace.precision)
        self._device = torch.device(workplace.device)
        self._table: tuple[tuple[Any, ...], Table] | None = None

    def make(self, trial: Trial, stop: Stop | None, progress: Progress) -> None:
        """Make one trial; after each of its epochs, `stop(epoch, metrics)` says whether to end it.

        An existing run resumes. If the loss of a trial of a search becomes NaN, the trial has failed.

        Raises:
            NonFiniteError: the loss of a tested trial became NaN.
        """
        recipe = recipe_from_tables(trial.recipe, f"recipe of {trial.name}")
        if not trial.trains:
            table = self._targets(recipe)
            baselines = fit_baselines(
                self._store, table.scene.split, recipe.data.max_len, names=trial.baselines, progress=progress
            )
            self._folder.finish(trial, Outcome(), _evaluated(table, {"baseline": baselines}, progress))
            return
        run = self._folder.run(trial.name)
        options = replace(self._options, resume=run.is_dir())
        try:
            result = fit(self._store, run, recipe, options, validating(self._store, recipe), progress, stop)
        except NonFiniteError as error:
            if trial.tested:
                raise
            self._folder.finish(trial, _outcome(run, None, str(error)))
            return
        settle_ranking(self._store, run, self._device, progress)
        self._folder.finish(trial, _outcome(run, result), self._tested(run, progress) if trial.tested else None)

    def _tested(self, run: Path, progress: Progress) -> Evaluation:
        """Return the metrics of a run's best weights, without intervals: a study computes those over seeds."""
        loaded = load_run(run)
        recipe = loaded.recipe
        table = self._targets(replace(recipe, evaluation=replace(recipe.evaluation, resamples=0)))
        encoder, candidates = loaded.encoder.to(self._device), table.scene.split.candidates
        scorers = model_scorers(encoder, candidates, loaded.listen_weight)
        with keeping_neighbours(encoder):
            return _evaluated(table, {"model": scorers, "head": head_scorers(encoder, candidates)}, progress)

    def _targets(self, recipe: Recipe) -> Table:
        """Return the test targets of a recipe, those of the previous trial where both have the same."""
        key = recipe.data, recipe.evaluation, recipe.inputs
        if self._table is None or self._table[0] != key:
            split = split_store(self._store, recipe.data)
            scene = make_scene(self._store, split, recipe.data, recipe.evaluation, "test", self._device)
            self._table = key, Table(scene.reading(recipe))
        return self._table[1]


def _evaluated(table: Table, scorers: Mapping[Kind, Sequence[Scorer]], progress: Progress) -> Evaluation:
    rows = list[Row]()
    for kind, some in scorers.items():
        rows += scorer_rows(table, some, kind, progress=progress)
    evaluation = assembled(table, rows, scorers.get("model", ()))
    return replace(evaluation, tuning=chosen_options(scorers.get("baseline", ())))


def _outcome(run: Path, result: FitResult | None, why: str | None = None) -> Outcome:
    """Return how a training ended; `result` None: it failed."""
    folder = RunFolder.open(run)
    environment = folder.environment()
    curve = tuple(line.get(f"validation.{WATCHED}") for line in folder.lines("metrics"))
    seconds = round(sum(line["train_s"] + line["validate_s"] for line in folder.lines("timings")), 3)
    shown = {name: environment.get(name) for name in ENVIRONMENT}
    if result is None:
        return Outcome("failed", {}, len(curve), 0, False, seconds, curve, shown, why)
    state: Final = "pruned" if result.stopped == "pruned" else "finished"
    ends = (result.epochs, result.best_epoch, result.converged)
    return Outcome(state, result.metrics, *ends, seconds, curve, shown)
