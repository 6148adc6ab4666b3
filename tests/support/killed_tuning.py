"""Small searches for the tests of resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.progress import Progress, silent
from segue.store import Store
from segue.studies.trials.pool import Devices
from segue.studies.trials.space import GRIDS
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.tuning_search import run_search, search_document
from segue.verbs.tune import TuneOptions, tune
from support.small_recipes import SMALL, small_recipe

RECIPE = "paper-causal-s-plus-track"
CHANGES = SMALL | {"training.epochs": 3, "training.patience": 9}
TRIALS = {"grid": 3, "optuna": 4}
POINTS = [{"learning_rate": rate, "ratio": 0.5} for rate in (1e-3, 2e-3, 5e-3)]
GRIDS["small"] = lambda recipe, space: POINTS


def search(store: Path, out: Path, kind: str, *, resume: bool = False, progress: Progress = silent) -> Any:
    """Return the result of a small search: the grid of POINTS, or one by Optuna."""
    if kind == "optuna":
        given = {} if resume else {"recipe": RECIPE, "overrides": CHANGES, "trials": TRIALS[kind]}
        return tune(store, out, TuneOptions(device="cpu", precision="fp32", resume=resume, **given), progress=progress)
    folder = TrialFolder.open(out, "tune") if resume else grid_folder(store, out)
    return run_search(folder, store, Devices(1, precision="fp32"), progress=progress)


def grid_folder(store: Path, out: Path) -> TrialFolder:
    """Return the folder of a new search over POINTS."""
    recipe = small_recipe(training__epochs=3, training__patience=9)
    document = search_document(Store(store), recipe, {"recipe": None, "overrides": {}}, "small", None)
    return TrialFolder.create(out, document, "tune", overwrite=False)
