"""A training to be made, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

WATCHED: Final = "ndcg@20"
"""The validation metric that a search maximises, as early stopping does: NDCG@20 among all tracks."""


@dataclass(frozen=True)
class Trial:
    """One training, or one measurement of the baselines."""

    name: str
    """Unique among the trials of a folder; a plain file name."""
    recipe: dict[str, Any]
    """Tables of the recipe, its seed among them."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Values that a search chose, by the search's names."""
    judged: bool = False
    """Whether the search says after each epoch if it ends there."""
    trains: bool = True
    """False: nothing is trained, the baselines alone are measured."""
    tested: bool = False
    """Whether test targets are measured; a trial of a search never does."""
    baselines: tuple[str, ...] = ()
    """Names of the baselines measured where nothing is trained; none = all."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    state: Literal["finished", "pruned", "failed"] = "finished"
    """Trained to patience or the epoch cap; ended early by the search; a loss became NaN."""
    validation: dict[str, Any] = field(default_factory=dict)
    """Validation metrics of the best epoch; empty for a failed trial."""
    epochs: int = 0
    best_epoch: int = 0
    converged: bool = False
    """Whether patience ended the training: one that met the epoch cap might have gone on rising."""
    seconds: float = 0.0
    """Wall time of training and validation."""
    curve: tuple[float | None, ...] = ()
    """Validation NDCG@20 epoch after epoch."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Versions and machine of the run."""
    why: str | None = None
    """Why it failed."""

    @property
    def value(self) -> float | None:
        """Validation NDCG@20 of the best epoch."""
        value: float | None = self.validation.get(WATCHED)
        return value


@dataclass(frozen=True)
class Tried:
    """A trial of a search that has ended."""

    number: int
    """From 0, in the order proposed."""
    parameters: Mapping[str, Any]
    outcome: Outcome

    @property
    def value(self) -> float | None:
        """Validation NDCG@20 of the best epoch."""
        return self.outcome.value

    def to_json(self) -> dict[str, Any]:
        """Return the record of a search's result."""
        names = ("epochs", "best_epoch", "converged", "seconds", "curve", "why")
        ended = {name: getattr(self.outcome, name) for name in names} | {"curve": list(self.outcome.curve)}
        head = {"number": self.number, "parameters": dict(self.parameters)}
        return {**head, "state": self.outcome.state, "value": self.value, **ended}
