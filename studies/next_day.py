"""What does a recipe reach on the next day, over several seeds, beside all tuned baselines?

`python studies/next_day.py STORE RUNS [--seeds 5] [--recipe segue] [--set KEY=VALUE ...] [--split validation]` trains
RUNS/0, RUNS/1, ... unless they are there, with `split = "next-day"`, and prints the document of `segue evaluate`: the
row of the model is the mean over seeds, `model_minus` has intervals over listeners, `model_minus_by_run` over seeds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segue.config import parse_override
from segue.output import json_text
from segue.store import Store
from segue.verbs.evaluator import Evaluator
from segue.verbs.train import TrainOptions, train


def main() -> int:
    """Train what is missing, and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", default="segue")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    store, changes = Store(given.store), dict(map(parse_override, given.set))
    runs = [given.runs / str(seed) for seed in range(given.seeds)]
    for seed, run in enumerate(runs):
        if not run.is_dir():
            overrides = {"data.split": "next-day", **changes}
            train(store, run, TrainOptions(recipe=given.recipe, overrides=overrides, seed=seed, device=given.device))
    found = Evaluator(store, split=given.split, device=given.device).evaluate_seeds(runs)
    print(json_text(found.to_json(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
