"""A search that notes each batch that it trains, and may kill itself, for the tests of resuming.

usage: killed_tuning.py STORE OUT LOG KIND TRIAL BATCH
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segue import api, tuning
from segue.api.tune import Training
from segue.progress import Step
from segue.recipes import recipe_from_tables
from segue.store import Store
from segue.tuning import GridSearch, Places, Plan, TuneFolder, search_space
from small_recipes import SMALL, small_recipe

CHANGES = SMALL | {"training.epochs": 3, "training.patience": 9}
TRIALS = {"grid": 3, "optuna": 4}
POINTS = [{"learning_rate": rate, "ratio": 0.5} for rate in (1e-3, 2e-3, 5e-3)]


def search(store: Path, out: Path, kind: str, progress: Callable[[Step], None], *, resume: bool = False) -> Any:
    """Return the result of a small search: the grid of POINTS, or one by Optuna."""
    if kind == "optuna":
        given = {} if resume else {"overrides": CHANGES, "trials": TRIALS[kind]}
        return api.tune(store, out, device="cpu", precision="fp32", resume=resume, progress=progress, **given)
    folder = TuneFolder.open(out) if resume else grid_folder(store, out)
    recipe = recipe_from_tables(folder.manifest["recipe"], "recipe")
    plan = Plan(recipe, search_space(recipe)[:2], GridSearch(POINTS), len(POINTS))
    return tuning.tune(folder, plan, Training(store, "cpu", "fp32"), Places(), progress=progress)


def grid_folder(store: Path, out: Path, **changes: Any) -> TuneFolder:
    """Return the folder of a new search over POINTS."""
    recipe = small_recipe(training__epochs=3, training__patience=9, **changes)
    manifest = {
        "recipe": recipe.to_tables(),
        "grid": "paper",
        "trials": len(POINTS),
        "fixed": [],
        "command": {"store": str(store), "recipe": None, "overrides": {}},
        "store": {"name": store.name, "fingerprint": Store(store).manifest.fingerprint, "simulated": {}},
    }
    return TuneFolder.create(out, manifest, overwrite=False)


class Noting:
    """Progress that writes 'trial n batch' lines to a file, and kills the process at one of them."""

    def __init__(self, log: Path, killed_at: tuple[str, int] | None = None, error: BaseException | None = None) -> None:
        self.log, self.killed_at, self.error = log, killed_at, error

    def __call__(self, step: Step) -> None:
        with self.log.open("a") as file:
            file.write(f"{step.stage} {step.done}\n")
        if (step.stage, step.done) == self.killed_at:
            if self.error is not None:
                raise self.error
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    at = (f"trial {sys.argv[5]}", int(sys.argv[6]))
    search(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4], Noting(Path(sys.argv[3]), at))
