"""The verb `train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segue.errors import InputError
from segue.option_types import Device, Overrides, Precision, RecipeChoice, WholeOrNone
from segue.progress import Progress, silent

if TYPE_CHECKING:
    from segue.recipes import Recipe
    from segue.store import Store
    from segue.training import FitResult, Stop

DEFAULT_RECIPE: Final = "segue"


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`."""

    recipe: RecipeChoice = None
    """Name of a recipe (see segue recipes), or a TOML file; default segue."""
    overrides: Overrides = field(default_factory=dict)
    """section.key=value replaces a value of the recipe; repeat the option."""
    seed: WholeOrNone = None
    """Seed of initialisation and order; short for --set training.seed=N."""
    device: Device = "auto"
    """auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """auto is bf16 if the machine multiplies it fast, else fp32."""
    resume: bool = False
    """Continue an interrupted run, by its own recipe."""
    overwrite: bool = False
    """Replace an existing run."""

    def all_overrides(self) -> dict[str, Any]:
        """Return the overrides, the seed among them."""
        return {**self.overrides, **({} if self.seed is None else {"training.seed": self.seed})}


def train(
    store: str | Path | Store,
    run: str | Path,
    options: TrainOptions = TrainOptions(),
    *,
    progress: Progress = silent,
    stop: Stop | None = None,
) -> FitResult:
    """Train a recipe on a store; weights, metrics and the resolved recipe go to the run folder.

    Returned are epochs, best epoch, why it stopped, and metrics. Validation NDCG@20 among all tracks is measured each
    epoch and decides which is best. `stop(epoch, metrics)` is called then: True ends training there.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        run: folder to write.

    Raises:
        InputError: no such store or recipe, a refused key, an existing folder, nothing to train on, or both `resume`
            and `overwrite`.
        NonFiniteError: a loss became NaN.
        Interrupted: Ctrl-C; the run is saved.
    """
    from segue.evaluation import settle_ranking, validating
    from segue.store import Store
    from segue.training import FitOptions, fit
    from segue.training.device import choose_device

    if options.resume and options.overwrite:
        raise InputError("--resume goes on with a run, --overwrite replaces it; leave one of them out")
    opened = store if isinstance(store, Store) else Store(store)
    recipe = resolve_recipe(options.recipe, options.all_overrides(), run if options.resume else None)
    fitting = FitOptions(options.device, options.precision, options.resume, options.overwrite)
    result = fit(opened, run, recipe, fitting, validating(opened, recipe), progress, stop)
    settle_ranking(opened, run, choose_device(options.device), progress)
    return result


def resolve_recipe(recipe: object, overrides: Mapping[str, Any], resumed: str | Path | None = None) -> Recipe:
    """Return the recipe to train: the one named, else that of the run to resume, else the default."""
    from segue.recipes import Recipe, load_recipe
    from segue.runs import RunFolder

    if isinstance(recipe, Recipe):
        if overrides:
            raise InputError("overrides go with the name of a recipe; build the Recipe with those values instead")
        return recipe
    if recipe is None and resumed is not None:
        if overrides:
            raise InputError("a resumed run keeps its recipe; leave the overrides out")
        return RunFolder.open(resumed).recipe()
    if not isinstance(recipe, str | Path | None):
        raise InputError(f"recipe is {recipe!r}, expected the name of a recipe, a file, or a Recipe")
    return load_recipe(DEFAULT_RECIPE if recipe is None else recipe, overrides)
