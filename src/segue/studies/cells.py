"""One cell of a study: trained, measured on the test targets where it is reported, kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from segue.batches.split import split_store
from segue.checkpoint import RunFolder, load_run
from segue.errors import NonFiniteError
from segue.evaluation import Evaluation, evaluate_scorers, make_scene, validating
from segue.progress import Progress
from segue.ranking import ModelScorer, fit_baselines
from segue.recipes import Recipe
from segue.store import Store
from segue.studies.design import Cell
from segue.studies.designs import DESIGNS
from segue.studies.folder import StudyFolder
from segue.training import FitOptions, FitResult, fit


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do."""

    out: str
    store: str
    study: str
    overrides: Mapping[str, Any]
    """Laid over every arm."""
    cell: Mapping[str, Any] | None
    """Fields of `Cell`; None = the baselines."""
    device: str = "cpu"
    precision: str = "auto"
    keep_weights: bool = False
    baselines: tuple[str, ...] = ()
    """Names of the baselines measured; none named = all."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `Task(**document)` takes."""
        return asdict(self)

    @property
    def name(self) -> str:
        """Return what progress calls it."""
        return "baselines" if self.cell is None else Cell(**self.cell).name


@dataclass
class Desk:
    """What a worker keeps from task to task: the store, opened once."""

    stores: dict[str, Store] = field(default_factory=dict)

    def store(self, path: str) -> Store:
        """Return the store at `path`."""
        if path not in self.stores:
            self.stores[path] = Store(Path(path))
        return self.stores[path]

    def do(self, task: Task, progress: Progress) -> None:
        """Do one task; its result is in the study's folder afterwards."""
        folder, store = StudyFolder(task.out), self.store(task.store)
        if task.cell is None:
            folder.save_baselines(_measure_baselines(task, store, progress))
            return
        cell = Cell(**task.cell)
        recipe = recipe_of(task.study, cell, task.overrides)
        run = folder.run(cell)
        options = FitOptions(device=task.device, precision=task.precision, resume=run.is_dir())
        try:
            result = fit(store, run, recipe, options, validating(store, recipe), progress)
        except NonFiniteError as error:
            if not cell.tuning:
                raise
            folder.finish(cell, {"failed": str(error), "validation": {}}, None)  # settings that diverge lose
            folder.drop_run(cell)
            return
        found = None if cell.tuning else _measure(run, store, torch.device(task.device), progress)
        folder.finish(cell, _record(result, run), found)
        if not task.keep_weights:
            folder.drop_run(cell)


def recipe_of(study: str, cell: Cell, overrides: Mapping[str, Any]) -> Recipe:
    """Return what a cell trains: arm < overrides < tuned settings < seed."""
    return DESIGNS[study].arm(cell.arm).resolved({**overrides, **cell.settings, "training.seed": cell.seed})


def _record(result: FitResult, run: Path) -> dict[str, Any]:
    folder = RunFolder.open(run)
    environment = folder.environment()
    shown = ("segue", "commit", "python", "torch", "device_name", "precision", "threads")
    return {
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "converged": result.converged,
        "validation": result.metrics,
        "seconds": round(sum(line["train_s"] + line["validate_s"] for line in folder.lines("timings")), 1),
        "curve": [
            {"epoch": line["epoch"], "loss": line["next_track"], "hr@10": line.get("validation.hr@10")}
            for line in folder.lines("metrics")
        ],
        "environment": {name: environment.get(name) for name in shown},
    }


def _measure(run: Path, store: Store, device: torch.device, progress: Progress) -> Evaluation:
    """Return the evaluation of a run's best weights on the test targets."""
    loaded = load_run(run)
    recipe, parts = loaded.recipe, split_store(store, loaded.recipe.data)
    config = replace(recipe.evaluation, resamples=0)  # intervals are those of the seeds and of the contrasts
    scene = make_scene(store, parts, recipe.data, config, "test", device)
    return evaluate_scorers(scene, [ModelScorer(loaded.encoder.to(device), parts.candidates)], progress=progress)


def _measure_baselines(task: Task, store: Store, progress: Progress) -> Evaluation:
    """Return the evaluation of the baselines on the split that all arms share."""
    recipe = DESIGNS[task.study].arms[0].resolved(task.overrides)
    parts = split_store(store, recipe.data)
    scene = make_scene(store, parts, recipe.data, recipe.evaluation, "test", torch.device("cpu"))
    scorers = [s for s in fit_baselines(store, parts) if not task.baselines or s.name in task.baselines]
    return evaluate_scorers(scene, scorers, progress=progress, kinds=["baseline"] * len(scorers))
