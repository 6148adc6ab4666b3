"""A training that kills itself in the middle of its third epoch, for the tests of resuming.

usage: killed_training.py STORE RUN
"""

from __future__ import annotations

import os
import signal
import sys

from segue.progress import Step
from segue.recipes import Recipe
from segue.store import Store
from segue.training import FitOptions, fit
from support.small_recipes import small_recipe


def recipe(name: str = "paper-cloze-s-plus-session", kind: str = "per_session") -> Recipe:
    """Return a recipe of five epochs; `kind` of next_track of next_track."""
    return small_recipe(name, training__epochs=5, training__patience=9, next_track__kind=kind)


def table_norm(split, encoder) -> dict[str, float]:
    """Return a validation that depends on the weights and neither rises nor falls steadily."""
    return {"ndcg@20": float(encoder.table.weight.norm().remainder(0.01)), "other": float("nan")}


def stop(step: Step) -> None:
    """Kill this process after its eighth batch."""
    if step.stage == "train" and step.done == 8:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    fit(Store(sys.argv[1]), sys.argv[2], recipe(), FitOptions("cpu", "fp32"), table_norm, stop)
