"""How a study is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StudyOptions:
    """How a study is run."""

    seeds: int = 5
    """Trainings of each arm that are reported, with seeds 0, 1, ..."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys laid over the recipe of every arm, with their values."""
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
    """Where to train: cpu, cuda, or auto = all GPUs where there are any."""
    precision: str = "auto"
    """fp32, bf16, or auto = bf16 where the machine multiplies it fast."""
    baselines: tuple[str, ...] = ()
    """Names of the baselines to measure; none named = all. V-SKNN takes long on large stores."""
    keep_weights: bool = False
    """Keep the run folder of every trial."""
    overwrite: bool = False
    """Replace the study in the folder; False: continue it."""
