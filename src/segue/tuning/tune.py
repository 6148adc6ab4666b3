"""A search from its first trial, or from where it was interrupted, to its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segue.errors import Interrupted, NonFiniteError
from segue.progress import Progress, silent
from segue.tuning.folder import TuneFolder
from segue.tuning.plan import Plan
from segue.tuning.result import write_result
from segue.tuning.runner import Train, train_in_turn
from segue.tuning.space import tuned
from segue.tuning.trial import Task, Trial
from segue.tuning.workers import Places, train_side_by_side


def tune(
    folder: TuneFolder,
    plan: Plan,
    train: Train,
    places: Places,
    *,
    keep_weights: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the trials of `plan` that have not ended, write the result into `folder`, and return its document.

    Validation alone decides: `train` gives HR@10 on the validation targets after each epoch. The best trial's run stays
    in the folder, that of every trial with `keep_weights`.

    Raises:
        Interrupted: Ctrl-C; what has ended is kept, what trains is saved.
        NonFiniteError: every trial failed.
    """
    folder.sweep()
    for trial in folder.trials().values():  # what a kill kept from the search
        plan.search.end(trial)

    def keep(trial: Trial) -> None:
        folder.keep(trial)
        plan.search.end(trial)
        if not keep_weights:
            folder.drop_runs()

    tasks = _tasks(folder, plan)
    try:
        if places.jobs == 1:
            train_in_turn(train, tasks, plan.search.report, keep, progress)
        else:
            train_side_by_side(train, tasks, places, plan.search.report, keep, progress)
    except (KeyboardInterrupt, Interrupted):
        done = len(folder.trials())
        raise Interrupted(
            f"interrupted after {done} of {plan.trials} trials; {folder.path} is saved: add --resume to go on"
        ) from None
    trials = folder.trials()
    _check_any(trials)
    if not keep_weights:
        folder.drop_runs()
    return write_result(folder, plan, trials)


def _tasks(folder: TuneFolder, plan: Plan) -> Iterator[Task]:
    ended = folder.trials().keys()
    for number in range(plan.trials):
        if number not in ended:
            parameters = plan.search.propose(number)
            recipe = tuned(plan.recipe, plan.space, parameters)
            yield Task(number, parameters, recipe, folder.run(number))


def _check_any(trials: Mapping[int, Trial]) -> None:
    if all(trial.state == "failed" for trial in trials.values()):
        raise NonFiniteError(f"every trial failed; the last one said: {trials[max(trials)].why}")
