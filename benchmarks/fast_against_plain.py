"""Whether the fast training path finds models as good as the plain one: HR of both, seed by seed.

    python benchmarks/fast_against_plain.py [--sessions 100000] [--tracks 200000] [--seeds 3] [--epochs 5] > paths.json

Trains each recipe with shared negatives by both paths of the device, from the same seeds, for the same epochs, and
ranks the validation targets among 1000 sampled tracks and among all. The paths draw dropout differently and round
differently, so single runs differ as two seeds do: the difference of the means is to be judged by the spread over
seeds. Prints one JSON document; the data is simulated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from segue import api
from segue.recipes import load_recipe
from segue.store import Store

METRICS = (("sampled", "hr@1"), ("sampled", "hr@10"), ("full", "hr@10"), ("full", "hr@20"))


def trained(
    store: Store, folder: Path, name: str, given: argparse.Namespace, seed: int, *, plain: bool
) -> dict[str, float]:
    """Return the metrics of one run, and its seconds of training."""
    overrides = {
        "next_track.kind": "shared",
        "training.epochs": given.epochs,
        "training.patience": given.epochs,
        "training.batch_size": given.batch,
        "training.learning_rate": 0.001,
        "training.seed": seed,
        "evaluation.resamples": 0,
    }
    recipe = load_recipe(name, overrides)
    run = folder / f"{name}-{'plain' if plain else 'fast'}-{seed}"
    begun = time.perf_counter()
    api.train(store, run, recipe=recipe, device=given.device, plain=plain)
    seconds = time.perf_counter() - begun
    result = api.evaluate(run, store, split="validation", device=given.device, baselines=False)
    found = {
        f"{protocol} {metric}": result.row("model", protocol).metrics[metric].value for protocol, metric in METRICS
    }
    return {**found, "seconds": round(seconds, 1)}


def compared(plain: list[dict[str, float]], fast: list[dict[str, float]]) -> dict[str, Any]:
    """Return mean and spread over seeds of both paths, and of the seed-paired difference (in points)."""
    table: dict[str, Any] = {}
    for protocol, metric in METRICS:
        name = f"{protocol} {metric}"
        pairs = [(one[name], other[name]) for one, other in zip(plain, fast, strict=True)]
        differences = [100 * (other - one) for one, other in pairs]
        table[name] = {
            "plain": [round(one, 4) for one, _ in pairs],
            "fast": [round(other, 4) for _, other in pairs],
            "difference_points": round(statistics.mean(differences), 3),
            "sd_of_plain_points": round(100 * statistics.stdev(one for one, _ in pairs), 3) if len(pairs) > 1 else None,
            "sd_of_difference_points": round(statistics.stdev(differences), 3) if len(pairs) > 1 else None,
        }
    table["seconds"] = {"plain": [run["seconds"] for run in plain], "fast": [run["seconds"] for run in fast]}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--tracks", type=int, default=200_000)
    parser.add_argument("--recipes", nargs="+", default=["paper-causal-s-plus-track", "paper-cloze-s-plus-session"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args()
    cuda = given.device != "cpu" and torch.cuda.is_available()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__,
        "setting": vars(given),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        facts = api.simulate(folder / "store", sessions=given.sessions, tracks=given.tracks, store=True)
        result["simulated"] = facts["simulated"]
        store = Store(folder / "store")
        for name in given.recipes:
            runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
            for seed in range(given.seeds):
                for plain in (True, False):
                    runs[plain].append(trained(store, folder, name, given, seed, plain=plain))
                    print(name, "plain" if plain else "fast", seed, runs[plain][-1], file=sys.stderr, flush=True)
            result[name] = compared(runs[True], runs[False])
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
