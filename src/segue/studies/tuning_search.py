"""A search for the settings of a recipe: its trials, `result.json`, `best.toml` and figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from segue.config import dump_toml, nearest
from segue.errors import InputError, Interrupted, NonFiniteError
from segue.files import replaced_file, write_json
from segue.output import SCHEMA_VERSION
from segue.progress import Progress, silent
from segue.recipes import Recipe, recipe_from_tables
from segue.store import Store
from segue.studies.trials.optuna_search import OptunaSearch, require_optuna
from segue.studies.trials.pool import Devices, Pool
from segue.studies.trials.search import GridSearch, Search
from segue.studies.trials.space import GRIDS, Dimension, search_space, tuned
from segue.studies.trials.trial import Tried
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning

KEYS: Final = ("recipe", "grid", "trials", "fixed", "command", "store")
"""Keys of the marker of a search."""
BEST: Final = "best.toml"
EDGE: Final = 1.05
"""A value within this factor of an end of the searched range is at its edge."""


def search_document(
    store: Store, recipe: Recipe, command: Mapping[str, Any], grid: str | None, trials: int | None
) -> dict[str, Any]:
    """Return the document of the marker of a search; `command`: recipe and overrides as the user gave them.

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


def run_search(
    folder: TrialFolder, store: Path, devices: Devices, *, keep_weights: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Make the trials that have not ended, write the result into `folder`, and return its document.

    Validation alone decides. The best trial's run stays in the folder, that of every trial with `keep_weights`.

    Raises:
        InputError: another process works in the folder.
        Interrupted: Ctrl-C; trials that have ended stay, those that run are saved.
        NonFiniteError: every trial failed.
    """
    with folder.locked() as lock:
        folder.sweep()
        recipe = recipe_from_tables(folder.document["recipe"], f"{folder.path}: recipe")
        search, count = _search(folder, recipe, devices.jobs), folder.document["trials"]
        tuning = Tuning(folder, search, count, lambda keys: tuned(recipe, keys), keep_weights=keep_weights)
        try:
            if len(tuning.tried) < count:
                with Pool(devices, folder.path, store, lock) as pool:
                    pool.make(tuning, progress)
        except (KeyboardInterrupt, Interrupted):
            raise Interrupted(
                f"interrupted after {len(tuning.tried)} of {count} trials; {folder.path} is saved: add --resume to go "
                "on"
            ) from None
        outcomes = [tried.outcome for tried in tuning.tried.values()]
        if all(outcome.state == "failed" for outcome in outcomes):
            raise NonFiniteError(f"every trial failed; the last one said: {outcomes[-1].why}")
        return _written(folder, tuning, recipe)


def _search(folder: TrialFolder, recipe: Recipe, jobs: int) -> Search:
    """Return the search of a folder, for so many trials at a time."""
    space, grid = search_space(recipe, folder.document["fixed"]), folder.document["grid"]
    if grid is None:
        return OptunaSearch(folder.path / "optuna.jsonl", space, recipe.training.seed, jobs)
    points = GRIDS[grid](recipe, space)
    values = {name: [point[name] for point in points] for name in points[0]}
    ends = [replace(d, low=min(values[d.name]), high=max(values[d.name])) for d in space if d.name in values]
    return GridSearch(points, ends)


def _written(folder: TrialFolder, tuning: Tuning, recipe: Recipe) -> dict[str, Any]:
    """Write result, recipe of the best trial and figures into `folder`; return the result.

    Figures need Matplotlib; without it `figures` is empty, and all numbers are in the result.
    """
    result, best = _document(folder, tuning, recipe), tuning.best
    if best is not None:
        keys = tuning.changes(best.parameters)
        result["best"] = {
            "number": best.number,
            "parameters": dict(best.parameters),
            "value": best.value,
            "epoch": best.outcome.best_epoch,
            "converged": best.outcome.converged,
            "recipe": str(folder.path / BEST),
            "run": str(folder.run(tuning.name(best.number))),
            "command": _command(folder, keys),
        }
        result["notes"] = _notes(tuning.search.space, best)
        data = "simulated data" if result["simulated"] else "the data it was tuned on"
        head = (
            f"# {recipe.name} after {tuning.count} trials of segue tune: trial {best.number}, validation NDCG@20 "
            f"{best.value:.4f} on {data}.\n"
        )
        with replaced_file(folder.path / BEST) as temporary:
            tables = tuned(recipe, keys, f"{recipe.name}-tuned").to_tables()
            temporary.write_text(head + dump_toml(tables), encoding="utf-8")
    if find_spec("matplotlib") is not None:
        from segue.reports.tuning_figures import write_figures

        result["figures"] = [path.name for path in write_figures(result, folder.path)]
    write_json(folder.path / "result.json", {"schema_version": SCHEMA_VERSION, **result})
    return result


def _document(folder: TrialFolder, tuning: Tuning, recipe: Recipe) -> dict[str, Any]:
    """Return the result without the best trial."""
    store, grid = folder.document["store"], folder.document["grid"]
    outcomes = [tried.outcome for tried in tuning.tried.values()]
    states = Counter(outcome.state for outcome in outcomes)
    shown = ("name", "key", "low", "high", "log")
    return {
        "simulated": store["simulated"],
        "recipe": recipe.name,
        "store": {key: store[key] for key in ("name", "fingerprint")},
        "chosen_on": "HR@10 of the validation targets among all tracks, best epoch",
        "search": {
            "grid": grid,
            "sampler": None if grid else "TPE, median pruner",
            "seed": recipe.training.seed,
            "epochs": recipe.training.epochs,
            "trials": tuning.count,
            "space": [{key: getattr(dimension, key) for key in shown} for dimension in tuning.search.space],
        },
        "states": {state: states[state] for state in ("finished", "pruned", "failed")},
        "not_converged": sum(one.state == "finished" and not one.converged for one in outcomes),
        "best": None,
        "importance": tuning.search.importance(tuning.tried.values()),
        "trials": [tried.to_json() for tried in tuning.tried.values()],
        "notes": [],
        "figures": [],
    }


def _command(folder: TrialFolder, changed: Mapping[str, Any]) -> str:
    """Return the command that trains the best trial anew; RUN stands for a folder that the user names."""
    named = folder.document["command"]
    words = ["segue", "train", named["store"], "RUN", "--recipe"]
    if named["recipe"] is None:  # a Recipe made in Python has no name that a command could give
        return shlex.join([*words, str(folder.path / BEST)])
    values = {**named["overrides"], **changed}
    sets = [f"{key}={dump_toml({'x': value}).strip().removeprefix('x = ')}" for key, value in values.items()]
    return shlex.join([*words, named["recipe"], *(word for text in sets for word in ("--set", text))])


def _notes(space: Sequence[Dimension], best: Tried) -> list[str]:
    """Return the limits of the best trial's value."""
    notes = ["Chosen as the highest of many, so this HR@10 tends to be too high; the test targets are unread."]
    if not best.outcome.converged:
        notes.append("The best trial met its epoch cap, not converged: it might have gone on rising (--epochs).")
    for dimension in space:
        value = best.parameters[dimension.name]
        if value >= dimension.high / EDGE or value <= dimension.low * EDGE:
            notes.append(
                f"The best {dimension.name} {value:.3g} stands at an end of what was searched, {dimension.low:.3g} to "
                f"{dimension.high:.3g}: a better one may lie beyond."
            )
    return notes
