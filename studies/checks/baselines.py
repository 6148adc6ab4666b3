"""What do the baselines reach on a store? Their options chosen on validation targets, then all test targets, once.

`python studies/checks/baselines.py STORE [--split temporal]` prints one JSON document: for each baseline the grid, the
choice, its NDCG@20 on validation, and HR@1, HR@10, HR@20, NDCG@20 and MRR of the test targets among all tracks, heard
tracks kept. No run is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import torch

from segue.batches.split import DataConfig, split_store
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import full_ranks
from segue.ranking.baselines import chosen_options, fit_baselines
from segue.recipes import EvaluationConfig
from segue.store import Store


def levels(ranks: np.ndarray) -> dict[str, float]:
    """Return the metrics of ranks [N]."""
    gains = np.where(ranks <= 20, 1 / np.log2(1 + ranks), 0.0)
    shares = {f"hr@{k}": float(hit(ranks, k).mean()) for k in (1, 10, 20)}
    found = shares | {"ndcg@20": float(gains.mean()), "mrr": float((1 / ranks).mean())}
    return {name: round(value, 4) for name, value in found.items()}


def main() -> int:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--split", default="leave-last-two-out")
    given = parser.parse_args()
    store, config = Store(given.store), DataConfig(split=given.split)
    split = split_store(store, config)
    begin = time.perf_counter()
    baselines = fit_baselines(store, split, config.max_len)
    fit_s = time.perf_counter() - begin
    scene = make_scene(store, split, config, EvaluationConfig(), "test", torch.device("cpu"))
    rows: dict[str, dict[str, Any]] = {}
    for baseline in baselines:
        rows[baseline.name] = levels(full_ranks(baseline, scene.contexts).ranks[:, 0])
    document = {
        "simulated": dict(store.manifest.source.simulated),
        "split": given.split,
        "test_targets": len(scene.contexts.cases),
        "candidates": len(split.candidates),
        "fit_and_tune_s": round(fit_s, 1),
        "threads": torch.get_num_threads(),
        "test": rows,
        "tuning": {name: one | {"value": round(one["value"], 4)} for name, one in chosen_options(baselines).items()},
    }
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
