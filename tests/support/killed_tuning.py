"""Small searches for the tests of resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.progress import Progress, silent
from segue.recipes import recipe_from_tables
from segue.store import Store
from segue.studies.trials.grid import GridSearch
from segue.studies.trials.pool import Devices
from segue.studies.trials.space import search_space
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.tune import SearchPlan, run_search, search_document
from segue.verbs.tune import TuneOptions, tune
from support.small_recipes import SMALL, small_recipe

CHANGES = SMALL | {"training.epochs": 3, "training.patience": 9}
TRIALS = {"grid": 3, "optuna": 4}
POINTS = [{"learning_rate": rate, "ratio": 0.5} for rate in (1e-3, 2e-3, 5e-3)]


def search(store: Path, out: Path, kind: str, *, resume: bool = False, progress: Progress = silent) -> Any:
    """Return the result of a small search: the grid of POINTS, or one by Optuna."""
    if kind == "optuna":
        asked = {} if resume else {"overrides": CHANGES, "trials": TRIALS[kind]}
        return tune(store, out, TuneOptions(device="cpu", precision="fp32", resume=resume, **asked), progress=progress)
    folder = TrialFolder.open(out, "tune") if resume else grid_folder(store, out)
    recipe = recipe_from_tables(folder.document["recipe"], "recipe")
    plan = SearchPlan(recipe, search_space(recipe)[:2], GridSearch(POINTS), len(POINTS))
    return run_search(folder, store, Devices(1, precision="fp32"), plan=plan, progress=progress)


def grid_folder(store: Path, out: Path) -> TrialFolder:
    """Return the folder of a new search over POINTS."""
    recipe = small_recipe(training__epochs=3, training__patience=9)
    document = search_document(Store(store), recipe, {"recipe": None, "overrides": {}}, "paper", None)
    return TrialFolder.create(out, document | {"trials": len(POINTS)}, "tune", overwrite=False)
