"""The verb `tune`: composes search, training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from segue import tuning
from segue.api.train import DEFAULT_RECIPE, resolve_recipe, train
from segue.config import nearest
from segue.errors import InputError
from segue.files import check_replaceable
from segue.progress import Progress, silent
from segue.recipes import Recipe, recipe_from_tables
from segue.store import Store
from segue.training import FitResult, Stop
from segue.training.device import choose_device, choose_precision
from segue.tuning import GRIDS, Dimension, GridSearch, Places, Plan, Search, Task, TuneFolder, search_space
from segue.tuning.optuna_search import OptunaSearch, require_optuna


@dataclass(frozen=True)
class Training:
    """Trains the trials of one search; see `segue.tuning.Train`."""

    store: Path
    device: str
    precision: str

    def __call__(self, task: Task, stop: Stop, progress: Progress) -> FitResult:
        """Return how training ended; a run that is there already is gone on with."""
        return train(
            self.store,
            task.run,
            recipe=task.recipe,
            device=self.device,
            precision=self.precision,
            resume=task.run.exists(),
            stop=stop,
            progress=progress,
        )


def tune(
    store: str | Path | Store,
    out: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    grid: str | None = None,
    trials: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    jobs: int | None = None,
    keep_weights: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Tune a recipe on the validation targets of a store, into the folder `out`; return the result's document.

    Either `grid` "paper" (44 trainings whatever the recipe, see `segue.tuning.paper_grid`) or `trials`, so many points
    of learning rate, ratio of alpha and beta, tau and dropout proposed by Optuna (extra `tune`), the worse ones pruned.
    `overrides` are laid over the recipe first; a key among them is not searched. Every trial has the recipe's seed.
    `jobs` trials train at a time, by default one a CUDA device. Only the best trial's run is kept, all with
    `keep_weights`. `out` holds `result.json`, `best.toml` (a recipe) and figures.

    `resume` goes on with a search by its own recipe; `trials` may then ask for more. Trials that have ended are not
    trained again; one that was interrupted goes on from its checkpoint.

    Raises:
        InputError: no such store or recipe, a refused key, an existing folder, Optuna is missing, both or neither of
            `grid` and `trials`.
        NonFiniteError: every trial failed.
        Interrupted: Ctrl-C; the search is saved.
    """
    if resume and overwrite:
        raise InputError("--resume goes on with a search, --overwrite replaces it; leave one of them out")
    opened = store if isinstance(store, Store) else Store(store)
    choose_precision(precision, choose_device(device))  # refuse now, not in the first trial
    places = _places(device, jobs)
    path = Path(out)
    if resume:
        folder = _reopened(path, opened, recipe, overrides, grid, trials)
    else:
        check_replaceable(path, overwrite=overwrite, marker=tuning.MARKER)
        manifest = _manifest(opened, recipe, dict(overrides or {}), grid, trials)
        folder = TuneFolder.create(path, manifest, overwrite=overwrite)
    with folder.locked():
        if resume and trials is not None:
            folder.ask_for(trials)
        training = Training(opened.path, device, precision)
        plan = _plan(folder, places.jobs)
        return tuning.tune(folder, plan, training, places, keep_weights=keep_weights, progress=progress)


def _manifest(
    store: Store,
    recipe: str | Path | Recipe | None,
    overrides: dict[str, Any],
    grid: str | None,
    trials: int | None,
) -> dict[str, Any]:
    """Return what decides a search, as its folder keeps it; what cannot be searched is refused here."""
    resolved = resolve_recipe(recipe, overrides, None)
    space = search_space(resolved, overrides)
    named = recipe if recipe is not None else DEFAULT_RECIPE
    return {
        "recipe": resolved.to_tables(),
        "grid": grid,
        "trials": _num_trials(resolved, space, grid, trials),
        "fixed": sorted(overrides),
        "command": {
            "store": str(store.path),
            "recipe": None if isinstance(named, Recipe) else str(named),
            "overrides": overrides,
        },
        "store": {
            "name": store.path.name,
            "fingerprint": store.manifest.fingerprint,
            "simulated": dict(store.manifest.source.simulated),
        },
    }


def _num_trials(recipe: Recipe, space: Sequence[Dimension], grid: str | None, trials: int | None) -> int:
    """Return how many trainings were asked for."""
    if (grid is None) == (trials is None):
        raise InputError("tune needs one of --grid paper (44 trainings) and --trials N (with Optuna)")
    if grid is not None:
        if grid not in GRIDS:
            raise InputError(f"grid {grid!r}{nearest(grid, GRIDS)}")
        return len(GRIDS[grid](recipe, space))
    require_optuna()
    assert trials is not None
    if trials < 1:
        raise InputError(f"--trials is {trials}, expected at least 1")
    return trials


def _reopened(
    path: Path,
    store: Store,
    recipe: str | Path | Recipe | None,
    overrides: Mapping[str, Any] | None,
    grid: str | None,
    trials: int | None,
) -> TuneFolder:
    """Return the search to go on with, after comparing what is asked for with what it was made with."""
    folder = TuneFolder.open(path)
    manifest = folder.manifest
    if manifest["store"]["fingerprint"] != store.manifest.fingerprint:
        raise InputError(f"{path} was tuned on another store ({manifest['store']['name']}); name that one")
    if recipe is not None and resolve_recipe(recipe, overrides, None).to_tables() != manifest["recipe"]:
        raise InputError(f"{path} was made with another recipe; leave --recipe, --set, --epochs and --seed out")
    if recipe is None and overrides:
        raise InputError("a resumed search keeps its recipe; leave --set, --epochs and --seed out")
    if (grid is not None and grid != manifest["grid"]) or (trials is not None and manifest["grid"] is not None):
        raise InputError(f"{path} is a search of {manifest['grid'] or 'Optuna'}; leave --grid and --trials out")
    if trials is not None and trials < manifest["trials"]:
        raise InputError(f"{path} was asked for {manifest['trials']} trials; --trials may only ask for more")
    return folder


def _plan(folder: TuneFolder, jobs: int) -> Plan:
    """Return the search of a folder."""
    manifest = folder.manifest
    recipe = recipe_from_tables(manifest["recipe"], str(folder.path / tuning.MARKER))
    space = search_space(recipe, manifest["fixed"])
    if manifest["grid"] is None:
        search: Search = OptunaSearch(folder.path / tuning.JOURNAL, space, recipe.training.seed, jobs)
    else:
        points = GRIDS[manifest["grid"]](recipe, space)
        space = tuple(_spanned(d, [point[d.name] for point in points]) for d in space if d.name in points[0])
        search = GridSearch(points)
    return Plan(recipe, space, search, manifest["trials"])


def _spanned(dimension: Dimension, values: Sequence[float]) -> Dimension:
    """Return the dimension with the ends of a grid's values."""
    return replace(dimension, low=min(values), high=max(values))


def _places(device: str, jobs: int | None) -> Places:
    """Return how many trials train at a time, and where."""
    cuda = choose_device(device).type == "cuda"
    devices = torch.cuda.device_count() if cuda else 0
    return Places(max(devices, 1) if jobs is None else jobs, devices, torch.get_num_threads())
