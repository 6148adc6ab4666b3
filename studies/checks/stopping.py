"""Does early stopping end trainings on a plateau, and which block is best? Several seeds, on validation targets alone.

`python studies/checks/stopping.py STORE OUT [--recipe segue] [--seeds 10] [--longer 30] [--blocks pre_norm gated
post_norm] [--set KEY=VALUE]` trains every seed with patience `--longer` in the folder OUT (resumable), and prints one
JSON document: for each training the best validation NDCG@20 where the recipe's own patience ends it, and the best of
the longer training, which the same training goes on to; `lost` is their difference.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from segue.config import parse_override
from segue.progress import Step
from segue.recipes import Recipe, load_recipe
from segue.runs import RunFolder
from segue.store import Store
from segue.studies.trials.pool import Devices, Pool, Schedule
from segue.studies.trials.trial import WATCHED, Trial
from segue.studies.trials.trial_folder import TrialFolder, marker_of
from segue.training.run_progress import RunProgress


class Trainings(Schedule):
    """Trials that wait for nothing."""

    def __init__(self, folder: TrialFolder, trials: Collection[Trial]) -> None:
        self._folder, self._trials = folder, {trial.name: trial for trial in trials}

    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return one that has not ended."""
        left = (one for name, one in self._trials.items() if name not in running and not self._folder.ended(name))
        return next(left, None)

    def report(self, name: str, epoch: int, value: float) -> bool:
        """Go on."""
        return False

    def end(self, name: str) -> None:
        """Take nothing."""

    @property
    def counts(self) -> tuple[int, int]:
        """How many have ended, of all."""
        return sum(self._folder.ended(name) for name in self._trials), len(self._trials)


def stopped(folder: RunFolder, patience: int) -> dict[str, Any]:
    """Return epochs, best epoch and best NDCG@20 of a run's training, had its patience been `patience`."""
    at = RunProgress()
    for line in folder.lines("metrics"):
        names = {key: value for key, value in line.items() if key.startswith("validation.")}
        at.close_epoch({key.removeprefix("validation."): value for key, value in names.items()})
        if at.stopped(10**6, patience) is not None:
            break
    return {"epochs": at.epoch, "best_epoch": at.best_epoch, WATCHED: at.best_metrics[WATCHED]}


def main() -> int:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("out")
    parser.add_argument("--recipe", default="segue")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--longer", type=int, default=30)
    parser.add_argument("--blocks", nargs="*", default=[])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=0)
    given = parser.parse_args()
    base = dict(parse_override(text) for text in given.set)
    own: Recipe = load_recipe(given.recipe, base)
    trials = {}
    for block in given.blocks or [None]:
        for seed in range(given.seeds):
            changes = base | ({} if block is None else {"encoder.block_type": block})
            changes |= {"training.seed": seed, "training.patience": given.longer, "training.epochs": 400}
            name = f"{block or 'own'}-{seed}"
            trials[name] = Trial(name, load_recipe(given.recipe, changes).to_tables())
    store, devices = Store(Path(given.store)), Devices.choose("auto", "auto", given.jobs, each=2)
    settings = {"study": "stopping", "store": store.manifest.fingerprint, "recipe": given.recipe, "set": base}
    settings |= {"longer": given.longer}
    if (Path(given.out) / marker_of("study")).is_file():
        folder = TrialFolder.open(given.out, "study")
        if folder.document != settings:
            parser.error(f"{given.out} holds {folder.document}, not {settings}; name another folder")
    else:
        folder = TrialFolder.create(given.out, settings, "study", overwrite=False)
    with folder.locked() as lock, Pool(devices, folder.path, store.path, lock) as pool:
        pool.make(Trainings(folder, list(trials.values())), said)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in trials:
        run = RunFolder.open(folder.run(name))
        ends = {"own": stopped(run, own.training.patience), "longer": stopped(run, given.longer)}
        lost = ends["longer"][WATCHED] - ends["own"][WATCHED]
        rows.setdefault(name.rsplit("-", 1)[0], []).append(ends | {"lost": round(lost, 5)})
    document = {
        "recipe": given.recipe,
        "set": base,
        "simulated": dict(store.manifest.source.simulated),
        "patience": {"own": own.training.patience, "longer": given.longer},
        "arms": {arm: {"summary": summary(some), "trainings": some} for arm, some in rows.items()},
    }
    print(json.dumps(document, indent=1))
    return 0


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return mean, standard deviation and least of NDCG@20 with the own patience, and mean and most of what it lost."""
    values, lost = [row["own"][WATCHED] for row in rows], [row["lost"] for row in rows]
    found = {
        "mean": statistics.fmean(values),
        "sd": statistics.pstdev(values),
        "min": min(values),
        "mean_lost": statistics.fmean(lost),
        "most_lost": max(lost),
    }
    return {name: round(value, 5) for name, value in found.items()}


def said(step: Step) -> None:
    """Say on stderr how many trainings have ended."""
    print(f"\r{step.done}/{step.total}", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
