"""The verbs `study` and `report`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segue.option_types import Device, Overrides, Precision, Whole
from segue.progress import Progress, silent


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


def study(
    store: str | Path, out: str | Path, options: StudyOptions = StudyOptions(), *, progress: Progress = silent
) -> dict[str, Any]:
    """Train, measure and compare all arms of a study; what is finished in OUT is not run again.

    Each arm is tuned with the same budget on validation targets, trained with each seed, and measured once on the test
    targets beside the baselines. A killed training resumes. The document of OUT/result.json is returned, and the path
    of its report.

    Args:
        store: a store made by segue prepare or segue simulate --store.
        out: folder of result.json, report.md and report.html.

    Raises:
        InputError: no such study, arm or key, or `out` holds something else.
        SegueError: a training failed. Interrupted: Ctrl-C; the same call goes on.
    """
    from segue.studies import StudyOptions as Settings
    from segue.studies import run_study

    settings = Settings(
        seeds=options.seeds,
        overrides=dict(options.overrides),
        arms=options.arm,
        tune=not options.no_tune,
        tuning_epochs=options.tuning_epochs,
        tuning_trials=options.tuning_trials,
        jobs=options.jobs,
        device=options.device,
        precision=options.precision,
        baselines=options.baseline,
        keep_weights=options.keep_weights,
        overwrite=options.overwrite,
    )
    return _with_report(run_study(store, out, options.recipe, settings, progress), out)


def report(result: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a study's report.md and report.html anew from its result.json; the verdict is computed again.

    Args:
        result: a result.json that segue study wrote, on this machine or another.
        out: folder of the reports; it may be the study's own.

    Raises:
        InputError: no such file or folder. FormatError: it is not a result of a study.
    """
    from segue.studies import report_study

    return _with_report(report_study(result, out), out)


def _with_report(result: dict[str, Any], out: str | Path) -> dict[str, Any]:
    return {**result, "report": str(Path(out) / "report.html")}
