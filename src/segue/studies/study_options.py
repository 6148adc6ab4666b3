"""How a study is run."""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.option_types import Device, Overrides, Precision, Whole


@dataclass(frozen=True)
class StudyOptions:
    """Options of `study`."""

    recipe: str = "table1"
    """Name of the study (see segue studies)."""
    seeds: Whole = 5
    """Trainings of each arm that are reported, with seeds 0, 1, ..."""
    overrides: Overrides = field(default_factory=dict)
    """section.key=value over every arm; repeat the option."""
    arm: tuple[str, ...] = ()
    """Run only this arm (see segue studies show NAME); repeat the option."""
    baseline: tuple[str, ...] = ()
    """Measure only this baseline; repeat the option. V-SKNN takes long on large stores."""
    no_tune: bool = False
    """Take the recipes' own settings instead of choosing each arm's on validation targets."""
    tuning_epochs: Whole = 0
    """Epochs that each training of the search may take, for all arms alike; 0 = as many as those reported."""
    tuning_trials: Whole = 0
    """Points that Optuna proposes for each arm in place of the study's grid; needs the extra 'tune'."""
    jobs: Whole = 0
    """Trainings at a time; 0 = one on a CPU, two a CUDA device."""
    device: Device = "auto"
    """auto takes all GPUs where there are any."""
    precision: Precision = "auto"
    """auto is bf16 where the machine multiplies it fast, else fp32."""
    keep_weights: bool = False
    """Keep the run folder of every trial."""
    overwrite: bool = False
    """Begin anew where OUT holds a study; without it the study goes on."""
