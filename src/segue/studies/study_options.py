"""How a study is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.recipes import Recipe
from segue.studies.design import TUNING_SEED, Arm


@dataclass(frozen=True)
class StudyOptions:
    """How a study is run."""

    seeds: int = 5
    """Trainings of each arm that are reported, with seeds 0, 1, ..."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys laid over every arm."""
    arms: tuple[str, ...] = ()
    """Names of the arms to run; none named = all."""
    tune: bool = True
    """Choose each arm's settings on validation targets first; False: the recipes' own."""
    tuning_epochs: int = 0
    """Epochs that a training which chooses settings may take, the same for all arms; 0 = the recipe's own cap."""
    tuning_trials: int = 0
    """Points that Optuna proposes for each arm in place of the design's grid; 0 = the grid."""
    jobs: int = 0
    """Trainings at a time; 0 = one on a CPU, two a CUDA device."""
    device: str = "auto"
    precision: str = "auto"
    baselines: tuple[str, ...] = ()
    keep_weights: bool = False
    overwrite: bool = False

    def recipe(self, arm: Arm, settings: Mapping[str, Any], seed: int) -> Recipe:
        """Return what a reported trial trains: arm < overrides < settings < seed."""
        return arm.resolved({**self.overrides, **settings, "training.seed": seed})

    def tuning_recipe(self, arm: Arm, settings: Mapping[str, Any]) -> Recipe:
        """Return what a trial trains that chooses settings."""
        capped = {"training.epochs": self.tuning_epochs} if self.tuning_epochs else {}
        return self.recipe(arm, {**capped, **settings}, TUNING_SEED)
