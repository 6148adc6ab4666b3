"""Do shared negatives (one draw a batch) reach the HR of the paper's (one draw a session)? Simulated data.

    python studies/shared-negatives/study.py OUT [--jobs 2] [--seeds 5] [--device auto] [--sessions N] [--tracks N]

Simulates a store (10,000 sessions, 50,704 tracks), trains S- and S+ track with either kind of negatives, and compares
them seed by seed. Finished runs are not run again. Needs neither Polars nor cyclopts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from segue import Store, api
from segue.runs import RunFolder
from segue.evaluation import Evaluation, contrast, t_estimate
from segue.files import write_json

RECIPES = {"S-": "paper-causal-s-minus", "S+ track": "paper-causal-s-plus-track"}
KINDS = {
    "per_session": {"next_track.kind": "per_session"},
    "shared": {"next_track.kind": "shared"},
    "shared, rate .001": {"next_track.kind": "shared", "training.learning_rate": 0.001},
}
"""The paper's (learning rate .005), the fast one as it stands, and with a fifth of the rate."""
METRICS = ("hr@1", "hr@10", "hr@20", "hr@10.listened", "hr@10.skipped", "delta", "pair-auc")


def folder(out: str, arm: str, kind: str, seed: int) -> Path:
    """Return the folder of one run."""
    return Path(out) / "runs" / f"{RECIPES[arm]}-{list(KINDS).index(kind)}-{seed}"


def train_one(options: argparse.Namespace, arm: str, kind: str, seed: int) -> None:
    """Train one run, or go on with it, or leave it as it is where it is finished."""
    path, store = folder(options.out, arm, kind, seed), Path(options.out) / "store"
    if path.is_dir():
        api.train(store, path, resume=True, device=options.device)
        return
    overrides = {"training.seed": seed, **KINDS[kind]}
    api.train(store, path, recipe=RECIPES[arm], overrides=overrides, device=options.device)


def train_all(options: argparse.Namespace, wanted: list[tuple[str, str, int]]) -> None:
    """Train the wanted runs, `jobs` processes at a time."""
    command = [sys.executable, __file__, options.out, "--device", options.device, "--only"]
    parts = [wanted[place :: options.jobs] for place in range(options.jobs)]
    codes = [worker.wait() for worker in [subprocess.Popen([*command, json.dumps(part)]) for part in parts if part]]
    if any(codes):
        raise SystemExit("a run failed; its message stands above")


def arm_record(evaluations: list[Evaluation], runs: list[Path]) -> dict[str, Any]:
    """Return seed means with t intervals."""
    states = [RunFolder.open(run).state() for run in runs]
    record: dict[str, Any] = {name: [state[name] for state in states] for name in ("epoch", "converged")}
    for protocol in ("sampled", "full"):
        rows = [evaluation.row("model", protocol).metrics for evaluation in evaluations]
        record[protocol] = {name: t_estimate([row[name].value for row in rows]).to_json() for name in METRICS}
    return record


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole result."""
    if not (Path(options.out) / "store").exists():
        api.simulate(Path(options.out) / "store", sessions=options.sessions, tracks=options.tracks, seed=1, store=True)
    store, seeds = Store(Path(options.out) / "store"), range(options.seeds)
    cells = list(itertools.product(RECIPES, KINDS))
    train_all(options, [(arm, kind, seed) for seed in seeds for arm, kind in cells])
    found, records = {}, {}
    for arm, kind in cells:
        runs = [folder(options.out, arm, kind, seed) for seed in seeds]
        found[arm, kind] = [api.evaluate(run, store, baselines=False, device=options.device) for run in runs]
        records[f"{arm} {kind}"] = arm_record(found[arm, kind], runs)
    fast = [kind for kind in KINDS if kind != "per_session"]
    asked = [((arm, kind), (arm, "per_session")) for arm in RECIPES for kind in fast]
    asked += [(("S+ track", kind), ("S-", kind)) for kind in KINDS]
    contrasts = [
        {"first": " ".join(a), "second": " ".join(b), "protocol": protocol, "metric": f"hr@{cutoff}"}
        | contrast(found[a], found[b], protocol, cutoff).to_json()
        for a, b in asked
        for protocol, cutoff in (("sampled", 1), ("sampled", 10), ("full", 10), ("full", 20))
    ]
    whole = api.evaluate(folder(options.out, "S-", "shared", 0), store, device="cpu").to_json()
    environment = RunFolder.open(folder(options.out, "S-", "shared", 0)).environment()
    return {
        "schema_version": 1,
        "simulated": whole["simulated"],
        "counts": whole["counts"],
        "environment": {name: environment.get(name) for name in ("segue", "torch", "device", "precision", "commit")},
        "arms": records,
        "contrasts": contrasts,
        "baselines": [row for row in whole["rows"] if row["kind"] == "baseline"],
        "listening": whole["listening"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--tracks", type=int, default=50_704)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        for arm, kind, seed in json.loads(options.only):
            train_one(options, arm, kind, seed)
        return
    write_json(Path(options.out) / "result.json", study(options))


if __name__ == "__main__":
    main()
