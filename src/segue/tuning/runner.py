"""Trials one after another in this process: a run each, kept as a line of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from segue.errors import NonFiniteError
from segue.progress import Progress, Step
from segue.runs import RunFolder
from segue.training import FitResult, Stop
from segue.tuning.trial import WATCHED, Task, Trial

_SECONDS: Final = ("train_s", "validate_s")


Train = Callable[[Task, Stop, Progress], FitResult]
"""Trains `task.recipe` into the run folder `task.run`, going on where one is there; `segue.api` gives it.

Its errors are those of `segue.training.fit`. A search over several processes pickles it, into their pipes only.
"""
Report = Callable[[int, int, float], bool]
"""(trial, epoch, value) -> whether to end the trial there."""
Keep = Callable[[Trial], None]


def train_trial(train: Train, task: Task, report: Report, progress: Progress) -> Trial:
    """Return what training `task` gave; `report` hears of its epochs, `progress` of its batches."""

    def stop(epoch: int, metrics: Mapping[str, float]) -> bool:
        return report(task.number, epoch, float(metrics[WATCHED]))

    result, failed = None, None
    try:
        result = train(task, stop, progress)
    except NonFiniteError as error:
        failed = str(error)
    run = RunFolder.open(task.run)
    curve = tuple(line[f"validation.{WATCHED}"] for line in run.lines())
    seconds = round(sum(line[part] for line in run.lines("timings") for part in _SECONDS), 3)
    if result is None:
        return Trial(task.number, task.parameters, "failed", None, len(curve), 0, False, seconds, curve, failed)
    return Trial(
        task.number,
        task.parameters,
        "pruned" if result.stopped == "pruned" else "finished",
        result.metrics[WATCHED],
        result.epochs,
        result.best_epoch,
        result.converged,
        seconds,
        curve,
    )


def train_in_turn(train: Train, tasks: Iterator[Task], report: Report, keep: Keep, progress: Progress) -> None:
    """Train each of `tasks`, asking for the next when one has been kept."""
    for task in tasks:
        keep(train_trial(train, task, report, named(progress, f"trial {task.number}")))


def named(progress: Progress, stage: str) -> Progress:
    """Return a progress that draws one bar for all stages of a training, under the name `stage`."""
    last = Step(stage, 0)

    def show(step: Step) -> None:
        nonlocal last
        if step.stage == "epoch":  # says more, but counts epochs: the bar stays where the batches are
            step = Step(stage, last.done, last.total, last.unit, f"epoch {step.done}, {step.note}")
        last = Step(stage, step.done, step.total, step.unit, step.note)
        progress(last)

    return show
