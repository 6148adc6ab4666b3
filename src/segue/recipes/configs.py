"""The parts of a recipe that belong to no component: how long to train, how to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_SEED: Final = 2**32 - 1
"""Seeds lie below 2**32, so that each stream of random numbers gets its own range of generator seeds."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the parameters are fitted (method, section 4)."""

    epochs: int = 30
    """Most epochs; a run that meets this cap is marked not converged (causal 30, cloze 200)."""
    batch_size: int = 256
    """Sessions in a batch."""
    learning_rate: float = 0.005
    """Of Adam, constant."""
    clip: float = 5.0
    """Largest global norm of the gradient."""
    patience: int = 3
    """Epochs without a better validation HR@10 after which training stops."""
    validation_targets: int = 0
    """How many validation targets are looked at after each epoch, a uniform sample; 0 = all."""
    seed: int = 0
    """Seed of initialisation, order, masks, negatives and dropout."""
    checkpoint_minutes: float = 5.0
    """Shortest time between two checkpoints; 0 writes one each epoch."""

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", "at least 1")
        _require(self.batch_size >= 1, "batch_size", "at least 1")
        _require(self.learning_rate > 0, "learning_rate", "above 0")
        _require(self.clip > 0, "clip", "above 0")
        _require(self.patience >= 1, "patience", "at least 1")
        _require(self.validation_targets >= 0, "validation_targets", "at least 0")
        _require(0 <= self.seed <= MAX_SEED, "seed", f"in 0..{MAX_SEED}")
        _require(self.checkpoint_minutes >= 0, "checkpoint_minutes", "at least 0")


@dataclass(frozen=True)
class EvaluationConfig:
    """How a run is judged (method, section 5)."""

    seed: int = 0
    """Seed of the sampled candidates and of the bootstrap."""
    candidates: int = 1000
    """Distinct tracks that the target is ranked against in the sampled protocol."""
    resamples: int = 1000
    """Bootstrap resamples behind each interval."""

    def __post_init__(self) -> None:
        _require(0 <= self.seed <= MAX_SEED, "seed", f"in 0..{MAX_SEED}")
        _require(self.candidates >= 1, "candidates", "at least 1")
        _require(self.resamples >= 0, "resamples", "at least 0")


def _require(holds: bool, name: str, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}")
