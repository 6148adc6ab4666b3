"""The verb `tune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segue.errors import InputError
from segue.files import check_replaceable
from segue.option_types import Device, Overrides, Precision, RecipeChoice, WholeOrNone
from segue.progress import Progress, silent
from segue.verbs.train import DEFAULT_RECIPE, resolve_recipe

if TYPE_CHECKING:
    from segue.store import Store
    from segue.studies.trials.trial_folder import TrialFolder


@dataclass(frozen=True)
class TuneOptions:
    """Options of `tune`."""

    recipe: RecipeChoice = None
    """Name of a recipe (see segue recipes), or a TOML file; by default segue."""
    grid: Literal["paper"] | None = None
    """paper: learning rates x ratios of alpha and beta, 44 trainings whatever the recipe; needs no Optuna."""
    trials: WholeOrNone = None
    """So many points proposed by Optuna, the worse ones cut short; needs the extra 'tune'."""
    overrides: Overrides = field(default_factory=dict)
    """section.key=value in place of the recipe's, and not searched; repeat the option."""
    epochs: WholeOrNone = None
    """Most epochs of a trial; short for --set training.epochs=N."""
    seed: WholeOrNone = None
    """Seed of all trainings and of the search; short for --set training.seed=N."""
    device: Device = "auto"
    """auto takes a GPU where there is one."""
    precision: Precision = "auto"
    """auto is bf16 where the machine multiplies it fast, else fp32."""
    jobs: WholeOrNone = None
    """Trials that train at a time, a process each; by default one a GPU, one on a CPU."""
    keep_weights: bool = False
    """Keep the run of every trial, not of the best alone."""
    resume: bool = False
    """Continue an interrupted search; --trials may ask for more than before."""
    overwrite: bool = False
    """Replace an existing search."""

    def all_overrides(self) -> dict[str, Any]:
        """Return the overrides, epochs and seed among them."""
        short = {"training.epochs": self.epochs, "training.seed": self.seed}
        return {**self.overrides, **{key: value for key, value in short.items() if value is not None}}


def tune(
    store: str | Path | Store, out: str | Path, options: TuneOptions = TuneOptions(), *, progress: Progress = silent
) -> dict[str, Any]:
    """Search the learning rate, alpha and beta, tau and dropout of a recipe on the validation targets.

    Name either `grid` or `trials`. Every trial has the recipe's seed. Trials that have ended are not trained again when
    a search is resumed; one that was interrupted goes on from its checkpoint. The document of result.json is returned.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        out: folder to write: result.json, best.toml, figures, the best run.

    Raises:
        InputError: no such store or recipe, a refused key, an existing folder, Optuna is missing, both or neither of
            `grid` and `trials`.
        NonFiniteError: every trial failed.
        Interrupted: Ctrl-C; the search is saved.
    """
    from segue.recipes import Recipe
    from segue.store import Store
    from segue.studies.trials.pool import Devices
    from segue.studies.trials.trial_folder import TrialFolder, marker_of
    from segue.studies.tuning_search import KEYS, run_search, search_document

    resume, overwrite, jobs = options.resume, options.overwrite, options.jobs
    recipe, overrides = options.recipe, options.all_overrides()
    if resume and overwrite:
        raise InputError("--resume goes on with a search, --overwrite replaces it; leave one of them out")
    opened = store if isinstance(store, Store) else Store(store)
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs is {jobs}, expected at least 1")
    devices = Devices.choose(options.device, options.precision, jobs or 0)
    if resume:
        folder = TrialFolder.open(out, "tune", KEYS)
        _check_resumed(folder, opened, recipe, overrides)
        _check_search(folder, options.grid, options.trials)
        if options.trials is not None:
            folder.change(trials=options.trials)
    else:
        check_replaceable(Path(out), overwrite=overwrite, marker=marker_of("tune"))
        resolved = resolve_recipe(recipe, overrides)
        named = None if isinstance(recipe, Recipe) else str(recipe or DEFAULT_RECIPE)
        command = {"recipe": named, "overrides": overrides}
        document = search_document(opened, resolved, command, options.grid, options.trials)
        folder = TrialFolder.create(out, document, "tune", overwrite=overwrite)
    return run_search(folder, opened.path, devices, keep_weights=options.keep_weights, progress=progress)


def _check_resumed(folder: TrialFolder, store: Store, recipe: object, overrides: dict[str, Any]) -> None:
    """Refuse to go on with a search on another store, or with another recipe."""
    document = folder.document
    if document["store"]["fingerprint"] != store.manifest.fingerprint:
        raise InputError(f"{folder.path} was tuned on another store ({document['store']['name']}); name that one")
    if recipe is not None and resolve_recipe(recipe, overrides).to_tables() != document["recipe"]:
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
