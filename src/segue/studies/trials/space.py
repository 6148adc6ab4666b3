"""What may be tuned in a recipe, and how a point of that space becomes a recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from segue.config import override
from segue.errors import InputError
from segue.losses import SkipContrastive
from segue.recipes import Recipe, recipe_from_tables

RATE: Final = "learning_rate"
RATIO: Final = "ratio"


@dataclass(frozen=True)
class Dimension:
    """One number of a recipe that may be tuned."""

    name: str
    key: str
    """Dotted key of the recipe, as `--set` takes it."""
    low: float
    high: float
    default: float
    """Value of the recipe itself."""
    log: bool = True
    """Whether ratios of values count, rather than differences."""
    scale: float = 1.0
    """Factor from a value of the dimension to the value under `key`."""


def search_space(recipe: Recipe, fixed: Collection[str] = ()) -> tuple[Dimension, ...]:
    """Return the dimensions that `recipe` has, without those whose key is in `fixed`.

    Learning rate, 1e-4 to 1e-2: the paper's grid ends at .005, the value it names, so the range goes past it. Ratio of
    alpha and beta, 1/4 to 4: that of the paper's grid; alpha = ratio x the recipe's own beta, since the total divides
    by alpha + beta, so that they matter by their ratio alone (method, section 4). tau, .05 to .5: the range of the
    method's ablations. Dropout, 0 to .5. Ratio and tau belong to the skip_contrastive term: a recipe without the term
    has neither, and the weights of other terms stay as they are.

    Raises:
        InputError: nothing is left to tune.
    """
    dimensions = [Dimension(RATE, "training.learning_rate", 1e-4, 1e-2, recipe.training.learning_rate)]
    index = next((i for i, term in enumerate(recipe.terms) if isinstance(term, SkipContrastive)), None)
    if index is not None:
        term, beta = recipe.terms[index], recipe.next_track.weight
        dimensions += [
            Dimension(RATIO, f"terms.{index}.weight", 0.25, 4.0, term.weight / beta, scale=beta),
            Dimension("tau", f"terms.{index}.temperature", 0.05, 0.5, term.temperature),
        ]
    if any(part.name == "dropout" for part in fields(recipe.encoder)):
        dimensions.append(Dimension("dropout", "encoder.dropout", 0.0, 0.5, recipe.encoder.dropout, log=False))
    space = tuple(dimension for dimension in dimensions if dimension.key not in fixed)
    if not space:
        raise InputError(f"--set names all that can be tuned ({', '.join(d.key for d in dimensions)}); leave one out")
    return space


def changes(space: Collection[Dimension], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` as dotted keys of a recipe; without a space they are dotted keys already."""
    if not space:
        return dict(settings)
    by_name = {dimension.name: dimension for dimension in space}
    return {by_name[name].key: by_name[name].scale * value for name, value in settings.items()}


def tuned(recipe: Recipe, keys: Mapping[str, Any], name: str = "") -> Recipe:
    """Return `recipe` with the values of dotted `keys`, under a new `name` if given."""
    tables = override(recipe.to_tables(), keys)
    return recipe_from_tables(tables | {"name": name or recipe.name}, f"recipe {recipe.name}")


PAPER_RATES: Final = (1e-4, 5e-4, 1e-3, 5e-3)
PAPER_WEIGHTS: Final = (0.25, 0.5, 0.75, 1.0)
"""Of alpha and of beta: 16 pairs, 11 ratios."""


def paper_grid(recipe: Recipe, space: Collection[Dimension]) -> list[dict[str, float]]:
    """Return the paper's grid: 4 learning rates x 11 ratios (method, section 4), 44 points.

    S- has no ratio. The same budget is the same number of trainings: 44 learning rates instead, the paper's four and,
    between neighbours of them, values evenly spaced in the logarithm. (Eleven seeds a rate would cost as much, but
    choose a lucky seed rather than a rate.)

    Raises:
        InputError: `space` lacks what the grid varies, since `--set` holds it fixed.
    """
    varied = [d for d in search_space(recipe) if d.name in (RATE, RATIO)]
    for dimension in varied:
        if dimension.name not in {d.name for d in space}:
            raise InputError(f"--grid paper varies {dimension.key}; leave its --set out, or use --trials N")
    ratios = sorted({alpha / beta for alpha in PAPER_WEIGHTS for beta in PAPER_WEIGHTS})
    if len(varied) > 1:
        return [{RATE: rate, RATIO: ratio} for rate in PAPER_RATES for ratio in ratios]
    return [{RATE: rate} for rate in _finer_rates(len(PAPER_RATES) * len(ratios))]


def _finer_rates(count: int) -> list[float]:
    """Return `count` rates from the lowest to the highest of the paper's, those among them."""
    logs = np.log(PAPER_RATES)
    indices = np.rint((count - 1) * (logs - logs[0]) / (logs[-1] - logs[0]))
    rates = np.exp(np.interp(np.arange(count), indices, logs))
    rounded = [float(f"{rate:.3g}") for rate in rates]
    assert set(PAPER_RATES) <= set(rounded)
    return rounded


GRIDS: Final = {"paper": paper_grid}
"""Grids of `--grid NAME`."""
