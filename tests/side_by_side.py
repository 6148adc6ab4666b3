"""Trainings that take no time, for the tests of searches over several processes; pickled by name into them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from segue.errors import Interrupted, NonFiniteError
from segue.progress import Progress, Step
from segue.training import FitResult, Stop
from segue.tuning import Task

TRAINS, FAILS, DIES, WAITS = range(4)


def train(task: Task, stop: Stop, progress: Progress) -> FitResult:
    """Return four epochs of rising HR@10; the parameter `fate` says what befalls the trial."""
    fate = task.parameters.get("fate", 0)
    with task.run.with_suffix(".begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    task.run.mkdir(exist_ok=True)
    (task.run / "run.json").write_text('{"run_version": 1}')
    (task.run / "timings.jsonl").write_text('{"epoch": 1, "train_s": 1.5, "validate_s": 0.5}\n')
    if fate == DIES:
        wait_for(*(task.run.with_name(f"{n}.kept") for n in range(task.number)), task.run.with_name("5.begun"))
        os._exit(3)
    if fate == WAITS:
        wait_for_the_word(task.run, progress)
    values = []
    for epoch in range(1, 5):
        values.append(0.1 * epoch + 0.01 * task.number)
        lines = [json.dumps({"epoch": i, "validation.hr@10": value}) + "\n" for i, value in enumerate(values, 1)]
        (task.run / "metrics.jsonl").write_text("".join(lines))
        if fate == FAILS:
            raise NonFiniteError("not a number")
        if stop(epoch, {"hr@10": values[-1]}):
            return FitResult(task.run, epoch, epoch, "pruned", {"hr@10": values[-1]})
    return FitResult(task.run, 4, 4, "cap", {"hr@10": values[-1]})


def wait_for(*paths: Path) -> None:
    """Return when all of them exist."""
    until = time.monotonic() + 60.0
    while not all(path.exists() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_the_word(run: Path, progress: Progress) -> None:
    """Train until told to end, then save as `fit` does."""
    try:
        for step in range(600):
            time.sleep(0.1)
            progress(Step("train", step))
    except KeyboardInterrupt:
        run.with_suffix(".saved").touch()
        raise Interrupted("saved") from None
