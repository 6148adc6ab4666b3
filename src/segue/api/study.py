"""The verbs `study` and `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.progress import Progress, silent
from segue.studies import StudyOptions, report_study, run_study


def study(
    store: str | Path,
    out: str | Path,
    *,
    recipe: str = "table1",
    seeds: int = 5,
    overrides: Mapping[str, Any] | None = None,
    arms: Sequence[str] = (),
    tune: bool = True,
    tuning_epochs: int = 0,
    tuning_trials: int = 0,
    jobs: int = 0,
    device: str = "auto",
    precision: str = "auto",
    baselines: Sequence[str] = (),
    keep_weights: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run a study on a store into the folder `out` and return its result, the document of `out/result.json`.

    `recipe` names the study; each of its arms is tuned with the same budget on validation targets (`tune`: the study's
    grid, or so many `tuning_trials` by Optuna), trained `seeds` times, and measured once on the test targets beside the
    baselines. What is finished in `out` is not run again; a killed training resumes. `jobs` trainings run at a time
    (0 = one on a CPU, two a CUDA device), spread over the devices. Weights go unless `keep_weights`. `arms` and
    `baselines` cut the study down.

    Raises:
        InputError: no such study, arm or key, or `out` holds something else.
        SegueError: a training failed. Interrupted: Ctrl-C; the same call goes on.
    """
    options = StudyOptions(
        seeds=seeds,
        overrides=dict(overrides or {}),
        arms=tuple(arms),
        tune=tune,
        tuning_epochs=tuning_epochs,
        tuning_trials=tuning_trials,
        jobs=jobs,
        device=device,
        precision=precision,
        baselines=tuple(baselines),
        keep_weights=keep_weights,
        overwrite=overwrite,
    )
    return run_study(store, out, recipe, options, progress)


def report(result: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a study's reports anew from its result.json into the folder `out`, and return the result.

    The verdict is computed again; neither the store nor the trainings are needed.

    Raises:
        InputError: no such file or folder. FormatError: it is not a result of a study.
    """
    return report_study(result, out)
