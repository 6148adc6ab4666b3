"""Verbs over many trainings: tune."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App

from segue.cli.parameters import Flat, Shown
from segue.cli.tuning_text import tuning_text
from segue.cli.whole import WholeOrNone
from segue.config import parse_override
from segue.output import json_text


@dataclass(frozen=True)
class Tuned:
    """What is searched."""

    recipe: str | None = None
    """Name of a recipe (see segue recipes), or a TOML file; by default paper-causal-s-plus-track."""
    grid: Literal["paper"] | None = None
    """paper: learning rates x ratios of alpha and beta, 44 trainings whatever the recipe; needs no Optuna."""
    trials: WholeOrNone = None
    """So many points proposed by Optuna, the worse ones cut short; needs the extra 'tune'."""
    set: tuple[str, ...] = ()
    """section.key=value in place of the recipe's, and not searched; repeat the option."""
    epochs: WholeOrNone = None
    """Most epochs of a trial; short for --set training.epochs=N."""
    seed: WholeOrNone = None
    """Seed of all trainings and of the search; short for --set training.seed=N."""

    def overrides(self) -> dict[str, Any]:
        """Return the dotted keys that are replaced."""
        short = {"training.epochs": self.epochs, "training.seed": self.seed}
        given = {key: value for key, value in short.items() if value is not None}
        return dict(parse_override(text) for text in self.set) | given


@dataclass(frozen=True)
class Place:
    """Where the trials train, and what becomes of them."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto is bf16 where the machine multiplies it fast, else fp32."""
    jobs: WholeOrNone = None
    """Trials that train at a time, a process each; by default one a GPU, one on a CPU."""
    keep_weights: bool = False
    """Keep the run of every trial, not of the best alone."""
    resume: bool = False
    """Continue an interrupted search; --trials may ask for more than before."""
    overwrite: bool = False
    """Replace an existing search."""
    json: bool = False
    """Print one JSON document."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    app.command(tune)


def tune(
    store: Path,
    out: Path,
    /,
    *,
    tuned: Annotated[Tuned, Flat] = Tuned(),
    index: Annotated[Place, Flat] = Place(),
    terminal: Shown,
) -> None:
    """Search the learning rate, alpha and beta, tau and dropout of a recipe on the validation targets.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        out: folder to write: result.json, best.toml, figures, the best run.
    """
    from segue import api

    result = api.tune(
        store,
        out,
        recipe=tuned.recipe,
        overrides=tuned.overrides(),
        grid=tuned.grid,
        trials=tuned.trials,
        device=index.device,
        precision=index.precision,
        jobs=index.jobs,
        keep_weights=index.keep_weights,
        resume=index.resume,
        overwrite=index.overwrite,
        progress=terminal,
    )
    terminal.close()
    print(json_text(result) if index.json else tuning_text(result))
