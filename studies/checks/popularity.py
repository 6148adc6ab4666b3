"""Does our evaluator give the published numbers of a deterministic baseline? Popularity on MovieLens 100K.

`python studies/checks/popularity.py ml-100k.inter > studies/checks/result.json`

Published: TopPop in the ML-100K table of the replication material of Shehzad, Ferrari Dacrema, Jannach, "A Worrying
Reproducibility Study of Intent-Aware Recommendation Models" (2025, arXiv 2501.10143), 943 test users, one target each,
heard items left out: R@5 .052, R@10 .087.

The last rating of a user is not defined where ratings share their second, and most do. So the file is also read with
its rows shuffled, and the published numbers are held against the range of all orders tried.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from segue.batches.data import SessionData
from segue.batches.split import Split, split_store
from segue.data.cutting import Cutting
from segue.ranking import top_k
from segue.ranking.baselines import Popularity, TrainingRows
from segue.recipes import load_recipe
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare

PUBLISHED = {5: 0.052, 10: 0.087}
LONGEST = 1000
"""Longer than any history: a user is one session, and all heard items are known."""
NEVER = 1e9
"""Minutes: longer than the log."""


def hit_rates(store: Store, split: Split, counts: np.ndarray) -> dict[int, float]:
    """Return HR@5 and HR@10 of the test targets by popularity `counts`, heard items left out."""
    data, cases = SessionData.load(store, split, "cpu"), split.cases["test"]
    scorer = Popularity(replace(TrainingRows.of(store, split), counts=counts))
    best = []
    for begin in range(0, len(cases), 64):
        index = np.arange(begin, min(begin + 64, len(cases)))
        found = top_k(scorer, data.context_batch(cases, index, LONGEST), max(PUBLISHED), exclude_heard=True)
        best.append(found.tracks)
    target = torch.from_numpy(np.asarray(store.tracks)[cases.target].astype(np.int64))
    hit = torch.cat(best) == target[:, None]
    return {k: float(hit[:, :k].any(1).double().mean()) for k in PUBLISHED}


def measured(log: Path, folder: Path) -> dict[str, dict[int, float]]:
    """Return the hit rates by counts of training ratings, and by counts of all ratings but the targets."""
    prepare(
        log,
        folder / "store",
        PrepareOptions(source="ratings", overwrite=True, cutting=Cutting(gap_minutes=NEVER, max_length=LONGEST)),
    )
    store = Store(folder / "store")
    split = split_store(store, load_recipe("paper-causal-s-minus", {}).data)
    tracks, target = np.asarray(store.tracks), split.cases["test"].target
    before = np.bincount(tracks, minlength=len(split.training_counts))
    before -= np.bincount(tracks[target], minlength=len(before))
    return {
        "training ratings (without the last two)": hit_rates(store, split, split.training_counts),
        "all ratings but the targets": hit_rates(store, split, before),
    }


def orders(log: Path, folder: Path, num: int) -> Iterator[Path]:
    """Yield the log as it is, then with its rows shuffled."""
    yield log
    head, *rows = log.read_text().splitlines(keepends=True)
    for seed in range(num):
        random.Random(seed).shuffle(rows)
        other = folder / log.name
        other.write_text(head + "".join(rows))
        yield other


def main() -> int:
    """Print the result; the exit code is 1 where a published number lies outside of what orders of ties give."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="ml-100k.inter")
    parser.add_argument("--orders", type=int, default=30)
    given = parser.parse_args()
    if not given.log.is_file():
        parser.error(f"{given.log} is missing: MovieLens 100K as RecBole's .inter file (GroupLens, research only)")
    with tempfile.TemporaryDirectory() as name:
        found = [measured(log, Path(name)) for log in orders(given.log, Path(name), given.orders)]
    rows = []
    for counts in found[0]:
        for k, published in PUBLISHED.items():
            here, tried = found[0][counts][k], [one[counts][k] for one in found]
            low, mean, high = min(tried), float(np.mean(tried)), max(tried)
            rows.append(
                {
                    "counts": counts, "metric": f"hr@{k}", "published": published, "file order": round(here, 4),
                    "lowest, mean, highest of all orders": [round(value, 4) for value in (low, mean, high)],
                    "published within": low - 0.0005 <= published <= high + 0.0005,
                }
            )  # fmt: skip
    inside = all(row["published within"] for row in rows if row["counts"].startswith("all"))
    print(json.dumps({"data": "MovieLens 100K, real ratings", "orders": given.orders, "rows": rows}, indent=1))
    return 0 if inside else 1


if __name__ == "__main__":
    sys.exit(main())
