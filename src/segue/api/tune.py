"""The verb `tune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.api.train import DEFAULT_RECIPE, resolve_recipe
from segue.errors import InputError
from segue.files import check_replaceable
from segue.progress import Progress, silent
from segue.recipes import Recipe
from segue.store import Store
from segue.studies.trials.pool import Devices
from segue.studies.trials.trial_folder import TrialFolder, marker_of
from segue.studies.tune import KEYS, run_search, search_document


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

    Either `grid` "paper" (44 trainings whatever the recipe, see `segue.studies.trials.space.paper_grid`) or `trials`,
    so many points of learning rate, ratio of alpha and beta, tau and dropout proposed by Optuna (extra `tune`), the
    worse ones pruned. `overrides` are laid over the recipe first; a key among them is not searched. Every trial has the
    recipe's seed. `jobs` trials train at a time, by default one a CUDA device. Only the best trial's run stays, all
    with `keep_weights`. `out` holds `result.json`, `best.toml` (a recipe) and figures.

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
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs is {jobs}, expected at least 1")
    devices = Devices.choose(device, precision, jobs or 0)
    if resume:
        folder = TrialFolder.open(out, "tune", KEYS)
        _check_resumed(folder, opened, recipe, overrides)
        _check_search(folder, grid, trials)
        if trials is not None:
            folder.change(trials=trials)
    else:
        check_replaceable(Path(out), overwrite=overwrite, marker=marker_of("tune"))
        resolved = resolve_recipe(recipe, overrides, None)
        named = None if isinstance(recipe, Recipe) else str(recipe or DEFAULT_RECIPE)
        command = {"recipe": named, "overrides": dict(overrides or {})}
        document = search_document(opened, resolved, command, grid, trials)
        folder = TrialFolder.create(out, document, "tune", overwrite=overwrite)
    return run_search(folder, opened.path, devices, keep_weights=keep_weights, progress=progress)


def _check_resumed(
    folder: TrialFolder, store: Store, recipe: str | Path | Recipe | None, overrides: Mapping[str, Any] | None
) -> None:
    """Refuse to go on with a search on another store, or with another recipe."""
    document = folder.document
    if document["store"]["fingerprint"] != store.manifest.fingerprint:
        raise InputError(f"{folder.path} was tuned on another store ({document['store']['name']}); name that one")
    if recipe is not None and resolve_recipe(recipe, overrides, None).to_tables() != document["recipe"]:
        raise InputError(f"{folder.path} was made with another recipe; leave --recipe, --set, --epochs and --seed out")
    if recipe is None and overrides:
        raise InputError("a resumed search keeps its recipe; leave --set, --epochs and --seed out")


def _check_search(folder: TrialFolder, grid: str | None, trials: int | None) -> None:
    """Refuse to go on with another grid, or with fewer trials."""
    document = folder.document
    if (grid is not None and grid != document["grid"]) or (trials is not None and document["grid"] is not None):
        raise InputError(f"{folder.path} is a search of {document['grid'] or 'Optuna'}; leave --grid and --trials out")
    if trials is not None and trials < document["trials"]:
        raise InputError(f"{folder.path} was asked for {document['trials']} trials; --trials may only ask for more")
