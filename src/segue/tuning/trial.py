"""One trial: a point of the search space, and what training there gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from segue.config import build
from segue.recipes import Recipe

WATCHED = "hr@10"
"""The validation metric that a search maximises: sampled HR@10, as early stopping does."""


@dataclass(frozen=True)
class Task:
    """A trial to train."""

    number: int
    parameters: dict[str, float]
    recipe: Recipe
    run: Path
    """Its run folder; one that is there already is gone on with."""


@dataclass(frozen=True)
class Trial:
    """A trial that has ended, as it stands in the ledger."""

    number: int
    """From 0, in the order asked for."""
    parameters: dict[str, Any]
    state: Literal["finished", "pruned", "failed"]
    """Trained to patience or the cap; ended early by the pruner; a loss became NaN."""
    value: float | None
    """Best validation HR@10 of its epochs; None for a failed one."""
    epochs: int
    best_epoch: int
    converged: bool
    """Whether patience ended it: one that met the epoch cap might have gone on rising."""
    seconds: float
    """Wall time of training and validation."""
    curve: tuple[float, ...] = ()
    """Validation HR@10 epoch after epoch."""
    why: str | None = None
    """What failed."""

    def to_json(self) -> dict[str, Any]:
        """Return the document from which `trial_from_json` makes an equal trial."""
        return {**asdict(self), "curve": list(self.curve)}


def trial_from_json(document: Mapping[str, Any], where: str) -> Trial:
    """Return the trial of a ledger's document.

    Raises:
        InputError: it is none.
    """
    return build(Trial, document, where)


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """Return the finished trial of the highest value, the earliest of equals; None where none has finished.

    A pruned trial is none of them: its value is that of an unfinished training.
    """
    finished = [trial for trial in trials if trial.state == "finished" and trial.value is not None]
    return min(finished, key=lambda trial: (-float(trial.value or 0.0), trial.number), default=None)
