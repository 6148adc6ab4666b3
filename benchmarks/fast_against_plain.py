"""Whether Adam of the rows that a step touches finds models as good as dense Adam: HR of both, seed by seed.

    python benchmarks/fast_against_plain.py [--sessions 100000] [--tracks 200000] [--seeds 3] [--epochs 5] [--jobs 1]

Trains each recipe with shared negatives by each path, from the same seeds, for the same epochs, and ranks the
validation targets among 1000 sampled tracks and among all. The paths round differently, so single runs differ as two
seeds do: the difference of the means is to be judged by the spread over seeds. Prints one JSON document; the data is
simulated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segue import api
from segue.config import parse_override
from segue.model import Encoder
from segue.recipes import load_recipe
from segue.training import row_adam, trainer
from segue.training.step import Training, TrainingStep
from segue.training.table import TableRows

METRICS = (("sampled", "hr@1"), ("sampled", "hr@10"), ("full", "hr@10"), ("full", "hr@20"))
PATHS = ("fast", "dense", "lazy")
"""fast: as Segue trains. dense: torch's dense Adam over the whole table, which the touched rows' Adam stands for. lazy:
moments that stand still while a row is not touched, as torch's SparseAdam has them (CPU only)."""


class DenseTable(TableRows):
    """The table as one parameter among others, whatever a step touches of it."""

    def __init__(self, encoder: Encoder) -> None:
        self._weight = encoder.table.weight

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the rows."""
        return self._weight.detach().index_select(0, ids)

    def take(self, ids: Tensor, gradient: Tensor) -> Tensor:
        """Make the gradient of the whole table; return 0, since its norm is among those of the parameters."""
        self._weight.grad = torch.zeros_like(self._weight).index_add_(0, ids, gradient)
        self._weight.grad[0] = 0.0
        return gradient.new_zeros(())

    def update(self, scale: Tensor) -> None:
        """The table was moved with the other parameters."""


def dense_step(training: Training) -> TrainingStep:
    """Return the step with a dense table."""
    return TrainingStep(training, DenseTable(training.encoder))


@dataclass(frozen=True)
class Run:
    """One training."""

    store: Path
    folder: Path
    recipe: str
    path: str
    seed: int
    epochs: int
    batch: int
    device: str
    rate: float
    changes: tuple[str, ...]


def measured(run: Run) -> dict[str, float]:
    """Return the metrics of one run, and its seconds of training; meant for a process of its own."""
    overrides = {
        "next_track.kind": "shared",
        "training.epochs": run.epochs,
        "training.patience": run.epochs,
        "training.batch_size": run.batch,
        "training.learning_rate": run.rate,
        "training.seed": run.seed,
        "evaluation.resamples": 0,
    }
    overrides |= dict(parse_override(text) for text in run.changes)
    if run.path == "dense":
        build_model = trainer.build_model
        trainer.build_model = lambda config, *parts: build_model(replace(config, sparse=False), *parts)
        trainer._step_for = dense_step
    if run.path == "lazy":
        row_adam.RowAdam._bring_up = lambda self, values, exp_avg, exp_avg_sq, at: None  # type: ignore[method-assign]
    torch.set_num_threads(1 if run.device == "cuda" else torch.get_num_threads())
    recipe = load_recipe(run.recipe, overrides)
    out = run.folder / f"{run.recipe}-{run.path}-{run.seed}"
    begun = time.perf_counter()
    api.train(run.store, out, recipe=recipe, device=run.device)
    seconds = time.perf_counter() - begun
    result = api.evaluate(out, run.store, split="validation", device=run.device, baselines=False)
    found = {
        f"{protocol} {metric}": result.row("model", protocol).metrics[metric].value for protocol, metric in METRICS
    }
    shutil.rmtree(out)
    return {**found, "seconds": round(seconds, 1)}


def compared(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return each path's values by seed, and mean and spread of its paired difference from the first (points)."""
    table: dict[str, Any] = {"seconds": {path: [run["seconds"] for run in found] for path, found in runs.items()}}
    for protocol, metric in METRICS:
        name = f"{protocol} {metric}"
        values = {path: [run[name] for run in found] for path, found in runs.items()}
        table[name] = {path: [round(value, 4) for value in found] for path, found in values.items()}
        first = next(iter(values))
        for path, found in values.items():
            differences = [100 * (mine - its) for mine, its in zip(found, values[first], strict=True)]
            if path != first and len(differences) > 1:
                spread = statistics.stdev(differences)
                table[name][f"{path} - {first}"] = {
                    "points": round(statistics.mean(differences), 3),
                    "sd": round(spread, 3),
                    "standard_errors": round(
                        statistics.mean(differences) / (spread / len(differences) ** 0.5 or 1.0), 2
                    ),
                }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--tracks", type=int, default=200_000)
    parser.add_argument("--recipes", nargs="+", default=["paper-causal-s-plus-track"])
    parser.add_argument("--paths", nargs="+", default=["dense", "fast"], choices=PATHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=0.001, help="of learning")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the recipe, for all paths")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    given = parser.parse_args()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if given.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "setting": vars(given),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        facts = api.simulate(folder / "store", sessions=given.sessions, tracks=given.tracks, store=True)
        result["simulated"] = facts["simulated"]
        more = given.epochs, given.batch, given.device, given.rate, tuple(given.set)
        asked = [
            Run(folder / "store", folder, recipe, path, seed, *more)
            for seed in range(given.seeds)
            for recipe in given.recipes
            for path in given.paths
        ]
        with multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=1) as pool:
            found = []
            for run, metrics in zip(asked, pool.imap(measured, asked), strict=True):
                print(run.recipe, run.path, run.seed, metrics, file=sys.stderr, flush=True)
                found.append(metrics)
        for recipe in given.recipes:
            pairs = [(run.path, metrics) for run, metrics in zip(asked, found, strict=True) if run.recipe == recipe]
            result[recipe] = compared(
                {path: [metrics for its, metrics in pairs if its == path] for path in given.paths}
            )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
