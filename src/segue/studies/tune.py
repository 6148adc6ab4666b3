"""A search for the settings of a recipe, from its first trial, or from where it was interrupted, to its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from segue.config import nearest
from segue.errors import InputError, Interrupted, NonFiniteError
from segue.progress import Progress, silent
from segue.recipes import Recipe, recipe_from_tables
from segue.store import Store
from segue.studies.trials.grid import GridSearch
from segue.studies.trials.making import Workplace
from segue.studies.trials.optuna_search import OptunaSearch, require_optuna
from segue.studies.trials.pool import Devices, Pool
from segue.studies.trials.search import Search
from segue.studies.trials.space import GRIDS, Dimension, search_space, tuned
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning
from segue.studies.tune_result import write_tuning

JOURNAL: Final = "optuna.jsonl"
KEYS: Final = ("recipe", "grid", "trials", "fixed", "command", "store")
"""What the marker of a search holds."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search tries."""

    recipe: Recipe
    """What is tuned: each trial is it but for the values of a point."""
    space: tuple[Dimension, ...]
    """What varies, and between which ends."""
    search: Search
    count: int
    """How many trials; failed and pruned ones count."""

    @classmethod
    def of(cls, folder: TrialFolder, jobs: int) -> SearchPlan:
        """Return the plan of a search's folder, for so many trials at a time."""
        document = folder.document
        recipe = recipe_from_tables(document["recipe"], f"{folder.path}: recipe")
        space = search_space(recipe, document["fixed"])
        if document["grid"] is None:
            journal = OptunaSearch(folder.path / JOURNAL, space, recipe.training.seed, jobs)
            return cls(recipe, space, journal, document["trials"])
        points = GRIDS[document["grid"]](recipe, space)
        spanned = tuple(_spanned(d, [point[d.name] for point in points]) for d in space if d.name in points[0])
        return cls(recipe, spanned, GridSearch(points), len(points))


def search_document(
    store: Store,
    recipe: Recipe,
    command: Mapping[str, Any],
    grid: str | None,
    trials: int | None,
) -> dict[str, Any]:
    """Return what the marker of a search holds; `command`: recipe and overrides as they were named.

    Raises:
        InputError: nothing is left to tune, or both or neither of `grid` and `trials` is named.
    """
    overrides = dict(command["overrides"])
    space = search_space(recipe, overrides)
    return {
        "recipe": recipe.to_tables(),
        "grid": grid,
        "trials": _num_trials(recipe, space, grid, trials),
        "fixed": sorted(overrides),
        "command": {"store": str(store.path), **command},
        "store": {
            "name": store.path.name,
            "fingerprint": store.manifest.fingerprint,
            "simulated": dict(store.manifest.source.simulated),
        },
    }


def run_search(
    folder: TrialFolder,
    store: Path,
    devices: Devices,
    *,
    plan: SearchPlan | None = None,
    keep_weights: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make the trials that have not ended, write the result into `folder`, and return its document.

    `plan`: by default the folder's own. Validation alone decides. The best trial's run stays in the folder, that of
    every trial with `keep_weights`.

    Raises:
        InputError: another process is at work in the folder.
        Interrupted: Ctrl-C; trials that have ended stay, those at work are saved.
        NonFiniteError: every trial failed.
    """
    with folder.locked() as lock:
        folder.sweep()
        plan = plan or SearchPlan.of(folder, devices.jobs)
        recipe, space = plan.recipe, plan.space
        tuning = Tuning(
            folder, plan.search, plan.count, lambda point: tuned(recipe, space, point), keep_weights=keep_weights
        )
        try:
            if len(tuning.tried) < plan.count:
                with Pool(devices, Workplace(str(folder.path), str(store)), lock) as pool:
                    pool.make(tuning, progress)
        except (KeyboardInterrupt, Interrupted):
            raise Interrupted(
                f"interrupted after {len(tuning.tried)} of {plan.count} trials; {folder.path} is saved: add --resume "
                "to go on"
            ) from None
        outcomes = [tried.outcome for tried in tuning.tried.values()]
        if all(outcome.state == "failed" for outcome in outcomes):
            raise NonFiniteError(f"every trial failed; the last one said: {outcomes[-1].why}")
        return write_tuning(folder, tuning, recipe, space)


def _num_trials(recipe: Recipe, space: Sequence[Dimension], grid: str | None, trials: int | None) -> int:
    """Return how many trainings the search takes."""
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


def _spanned(dimension: Dimension, values: Sequence[float]) -> Dimension:
    """Return the dimension with the ends of a grid's values."""
    return replace(dimension, low=min(values), high=max(values))
