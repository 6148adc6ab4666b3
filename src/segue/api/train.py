"""The verb `train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from segue.errors import InputError
from segue.evaluation import settle_ranking, validating
from segue.progress import Progress, silent
from segue.recipes import Recipe, load_recipe
from segue.runs import RunFolder
from segue.store import Store
from segue.training import FitOptions, FitResult, Stop, fit
from segue.training.device import choose_device

DEFAULT_RECIPE: Final = "paper-causal-s-plus-track"


def train(
    store: str | Path | Store,
    run: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    stop: Stop | None = None,
) -> FitResult:
    """Train a recipe on a store into the folder `run`; return epochs, best epoch, why it stopped, and metrics.

    `recipe` is a name (`segue recipes`), a TOML file or a `Recipe`; `overrides` maps dotted keys to values, e.g.
    `{"training.epochs": 3}`. Validation HR@10 (sampled) is measured each epoch and decides when to stop. `resume`
    goes on with an interrupted run by its own recipe; a recipe that is named must be that one. `stop(epoch, metrics)`
    is called after each epoch's validation: True ends training there.

    Raises:
        InputError: no such store or recipe, a refused key, an existing folder, nothing to train on, or both `resume`
            and `overwrite`.
        NonFiniteError: a loss became NaN.
        Interrupted: Ctrl-C; the run is saved.
    """
    if resume and overwrite:
        raise InputError("--resume goes on with a run, --overwrite replaces it; leave one of them out")
    opened = store if isinstance(store, Store) else Store(store)
    resolved = resolve_recipe(recipe, overrides, run if resume else None)

    options = FitOptions(device=device, precision=precision, resume=resume, overwrite=overwrite)
    result = fit(opened, run, resolved, options, validating(opened, resolved), progress, stop)
    settle_ranking(opened, run, choose_device(device), progress)
    return result


def resolve_recipe(
    recipe: str | Path | Recipe | None, overrides: Mapping[str, Any] | None, resumed: str | Path | None
) -> Recipe:
    """Return the recipe to train: the one named, else that of the run to resume, else the default."""
    if isinstance(recipe, Recipe):
        if overrides:
            raise InputError("overrides go with the name of a recipe; build the Recipe with those values instead")
        return recipe
    if recipe is None and resumed is not None:
        if overrides:
            raise InputError("a resumed run keeps its recipe; leave the overrides out")
        return RunFolder.open(resumed).recipe()
    return load_recipe(DEFAULT_RECIPE if recipe is None else recipe, overrides)
