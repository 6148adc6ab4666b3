"""Are tracks that were never played found? HR@20 among all tracks by how often the target was played in training.

`python studies/checks/cold.py STORE RUN` prints, for each class of training plays of the target, HR@20 among all tracks
of the run and of every baseline (those that know features among them), and the differences of the run to each with 95 %
bootstrap intervals over targets. The run needs features: `segue train STORE RUN --recipe segue --set
data.vocabulary="features"`.

A track that was never played is seldom the next one, and a model that knows how often tracks are played never has it
among 20 of all. So it also prints, for targets that were never played, how they stand among the tracks that were never
played: HR@20, and the mean share of them that score lower (.5 = by chance).
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch

from segue.batches.split import split_store
from segue.evaluation.scene import make_scene
from segue.ranking import ModelScorer, content_baselines
from segue.runs import load_run
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate

RESAMPLES = 2000
CUTOFF = 20


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("run")
    given = parser.parse_args()
    store = Store(given.store)
    found = evaluate(given.run, store, EvaluateOptions(protocol="full"))
    hits = {row.name: (row.ranks <= CUTOFF).astype(float) for row in found.rows if row.kind != "head"}
    table = []
    for name, members in found.strata.items():
        if not name.startswith("plays="):
            continue
        inside = {scorer: values[members] for scorer, values in hits.items()}
        num, generator = int(members.sum()), np.random.default_rng(0)
        drawn = generator.integers(0, num, (RESAMPLES, num)) if num else np.zeros((1, 0), int)
        less = {}
        for scorer, values in inside.items():
            if scorer.startswith("model") or not num:
                continue
            apart = inside["model"] - values
            low, high = np.quantile(apart[drawn].mean(axis=1), [0.025, 0.975])
            less[scorer] = [round(float(value), 4) for value in (apart.mean(), low, high)]
        levels = {scorer: round(float(values.mean()), 4) for scorer, values in inside.items()} if num else {}
        table.append({"stratum": name, "targets": num, f"hr@{CUTOFF}": levels, "model less": less})
    document = {
        "simulated": found.simulated,
        "strata": table,
        "among tracks never played": among_cold(store, given.run),
    }
    print(json.dumps(document, indent=1))
    return 0


def among_cold(store: Store, path: str) -> dict[str, object]:
    """Return how targets that were never played stand among such tracks, by scorer, with bootstrap intervals."""
    run = load_run(path)
    split = split_store(store, run.recipe.data)
    scene = make_scene(store, split, run.recipe.data, run.recipe.evaluation, "test", torch.device("cpu"))
    cold = run.candidates[run.training_counts[run.candidates] == 0].astype(np.int64)
    chosen = np.flatnonzero(np.isin(scene.contexts.target, cold))
    held, place = scene.part(scene.contexts.cases, chosen), {}
    scorers = [ModelScorer(run.encoder, run.candidates), *content_baselines(store, split)]
    for scorer in scorers:
        shares, hits = [], []
        for index, batch in held.blocks(256):
            scores = scorer.score_all(batch)[:, torch.from_numpy(cold)].double().numpy()
            own = scores[np.arange(len(index)), np.searchsorted(cold, held.target[index])][:, None]
            below, equal = (scores < own).sum(1), (scores == own).sum(1) - 1
            shares.append((below + equal / 2) / max(len(cold) - 1, 1))
            hits.append(len(cold) - below - equal / 2 <= CUTOFF)
        place[scorer.name] = np.concatenate(shares), np.concatenate(hits).astype(float)
    drawn = np.random.default_rng(0).integers(0, len(chosen), (RESAMPLES, len(chosen)))

    def told(values: np.ndarray) -> list[float]:
        return [round(float(v), 4) for v in (values.mean(), *np.quantile(values[drawn].mean(axis=1), [0.025, 0.975]))]

    mine = place["model"]
    return {
        "targets": len(chosen), "tracks never played": len(cold),
        "share below": {name: told(found[0]) for name, found in place.items()},
        f"hr@{CUTOFF}": {name: told(found[1]) for name, found in place.items()},
        "model less, share below": {n: told(mine[0] - f[0]) for n, f in place.items() if n != "model"},
        f"model less, hr@{CUTOFF}": {n: told(mine[1] - f[1]) for n, f in place.items() if n != "model"},
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
