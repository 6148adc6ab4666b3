"""One cell of a study: trained, measured on the test targets where it is reported, kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from segue.batches.split import split_store
from segue.errors import NonFiniteError
from segue.evaluation import (
    PROTOCOLS,
    Evaluation,
    Kind,
    Table,
    assembled,
    head_predictions,
    make_scene,
    scorer_rows,
    settle_ranking,
    validating,
)
from segue.progress import Progress
from segue.ranking import Scorer, fit_baselines, head_scorers, model_scorers
from segue.recipes import Recipe
from segue.runs import RunFolder, load_run
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


class Desk:
    """What a worker keeps from task to task: the store opened, and what all scorers on its targets share."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}
        self._table: tuple[tuple[Any, ...], Table] | None = None

    def store(self, path: str) -> Store:
        """Return the store at `path`."""
        if path not in self._stores:
            self._stores[path] = Store(Path(path))
        return self._stores[path]

    def table(self, store: Store, recipe: Recipe, device: str, resamples: int) -> Table:
        """Return the test targets of a recipe on `device`; made anew where recipe, store or device asks for others."""
        key = (store.path, recipe.data, recipe.evaluation, device, resamples)
        if self._table is None or self._table[0] != key:
            config = replace(recipe.evaluation, resamples=resamples)
            parts = split_store(store, recipe.data)
            self._table = key, Table(make_scene(store, parts, recipe.data, config, "test", torch.device(device)))
        return self._table[1]

    def do(self, task: Task, progress: Progress) -> None:
        """Do one task; its result is in the study's folder afterwards."""
        folder, store = StudyFolder(task.out), self.store(task.store)
        if task.cell is None:
            folder.save_baselines(self._baselines(task, store, progress))
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
        settle_ranking(store, run, torch.device(task.device), progress)
        found = None if cell.tuning else self._measured(task, store, run, progress)
        folder.finish(cell, _record(result, run), found)
        if not task.keep_weights:
            folder.drop_run(cell)

    def _measured(self, task: Task, store: Store, run: Path, progress: Progress) -> Evaluation:
        """Return what a run's best weights reach; without intervals: those of seeds and contrasts are what counts."""
        loaded = load_run(run)
        table = self.table(store, loaded.recipe, task.device, 0)
        encoder = loaded.encoder.to(torch.device(task.device))
        candidates = table.scene.split.candidates
        scorers = model_scorers(encoder, candidates, loaded.listen_weight)
        return _evaluated(table, {"model": scorers, "head": head_scorers(encoder, candidates)}, progress)

    def _baselines(self, task: Task, store: Store, progress: Progress) -> Evaluation:
        """Return what the baselines reach on the split that all arms share."""
        shared = {
            key: value for key, value in task.overrides.items() if key.partition(".")[0] in ("data", "evaluation")
        }
        recipe = DESIGNS[task.study].arms[0].resolved(shared)  # other keys may be those of other arms
        table = self.table(store, recipe, task.device, recipe.evaluation.resamples)
        scorers = fit_baselines(store, table.scene.split)
        wanted = [scorer for scorer in scorers if not task.baselines or scorer.name in task.baselines]
        return _evaluated(table, {"baseline": wanted}, progress)


def _evaluated(table: Table, scorers: Mapping[Kind, Sequence[Scorer]], progress: Progress) -> Evaluation:
    rows = [
        row
        for kind, some in scorers.items()
        for protocol in PROTOCOLS
        for row in scorer_rows(table, some, kind, protocol, progress)
    ]
    return assembled(table, rows, head_predictions(table.scene, scorers.get("model", ())))


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
