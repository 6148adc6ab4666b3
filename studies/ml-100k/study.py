"""S- and S+ on real feedback: trains and evaluates every arm and seed, and writes result.json and the tables.

    segue prepare ratings ml-100k.inter STORE
    python studies/ml-100k/study.py STORE OUT [--jobs 2] [--seeds 5] [--device auto]

Runs that are finished are not run again. The learning rate of each arm is chosen on validation HR@10 with a seed of its
own; test targets are looked at once, at the end. Needs neither Polars nor cyclopts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from segue import Store, api
from segue.runs import RunFolder
from segue.evaluation import Evaluation, contrast, t_estimate
from segue.files import write_json

ARMS = {
    "causal S-": "paper-causal-s-minus",
    "causal S+ session": "paper-causal-s-plus-session",
    "causal S+ track": "paper-causal-s-plus-track",
    "cloze S-": "paper-cloze-s-minus",
    "cloze S+ session": "paper-cloze-s-plus-session",
    "cloze S+ track": "paper-cloze-s-plus-track",
}
RATES = (0.0005, 0.001, 0.005)
"""Learning rates tried for every arm alike (the paper's grid less 1e-4, which needs more epochs than the cap)."""
TUNING_SEED = 1000
SETTINGS = {"training.batch_size": 64, "training.epochs": 100}
"""Sessions are 65 times fewer than the paper's: smaller batches, and a later cap."""
GROUPS = ("", ".listened", ".skipped", ".untied", ".seen")


def run_name(arm: str, rate: float, seed: int) -> str:
    """Return the folder of one run."""
    return f"{ARMS[arm]}-lr{rate}-seed{seed}"


def train_one(store: str, out: str, arm: str, rate: float, seed: int, device: str) -> None:
    """Train one run, or go on with it, or leave it as it is where it is finished."""
    path = Path(out) / "runs" / run_name(arm, rate, seed)
    if path.is_dir():
        api.train(store, path, resume=True, device=device)
        return
    overrides = SETTINGS | {"training.learning_rate": rate, "training.seed": seed}
    api.train(store, path, recipe=ARMS[arm], overrides=overrides, device=device)


def train_all(options: argparse.Namespace, wanted: list[tuple[str, float, int]]) -> None:
    """Train the wanted runs, `jobs` processes at a time, run i by process i modulo `jobs`."""
    command = [sys.executable, __file__, options.store, options.out, "--device", options.device]
    parts = [wanted[place :: options.jobs] for place in range(options.jobs)]
    workers = [subprocess.Popen([*command, "--only", json.dumps(part)]) for part in parts if part]
    codes = [worker.wait() for worker in workers]  # every one is waited for
    if any(codes):
        raise SystemExit("a run failed; its message stands above")


def finished(out: str, arm: str, rate: float, seed: int) -> dict[str, Any]:
    """Return the state of a finished run."""
    return RunFolder.open(Path(out) / "runs" / run_name(arm, rate, seed)).state()


def chosen_rates(out: str, arms: list[str]) -> dict[str, dict[str, Any]]:
    """Return for each arm the learning rate with the highest validation HR@10, and what each rate gave."""
    found = {}
    for arm in arms:
        tried = {rate: finished(out, arm, rate, TUNING_SEED)["best_metrics"]["hr@10"] for rate in RATES}
        found[arm] = {"learning_rate": max(tried, key=lambda rate: tried[rate]), "validation_hr@10": tried}
    return found


def arm_record(evaluations: list[Evaluation], states: list[dict[str, Any]]) -> dict[str, Any]:
    """Return seed means with t intervals of every metric of one arm."""
    record: dict[str, Any] = {
        "epochs": [state["epoch"] for state in states],
        "best_epoch": [state["best_epoch"] for state in states],
        "converged": [state["converged"] for state in states],
    }
    for protocol in ("sampled", "full"):
        rows = [evaluation.row("model", protocol).metrics for evaluation in evaluations]
        record[protocol] = {name: t_estimate([row[name].value for row in rows]).to_json() for name in rows[0]}
    return record


def contrasts(found: dict[str, list[Evaluation]]) -> list[dict[str, Any]]:
    """Return every S+ less its S-, by protocol, cutoff and group of targets."""
    records = []
    for arm, evaluations in found.items():
        base = f"{arm.split()[0]} S-"
        if arm == base:
            continue
        for protocol in ("sampled", "full"):
            for cutoff in (1, 10, 20):
                for group in GROUPS:
                    if group and group[1:] not in evaluations[0].groups:
                        continue
                    member = evaluations[0].groups[group[1:]] if group else None
                    difference = contrast(evaluations, found[base], protocol, cutoff, member)
                    head = {"arm": arm, "less": base, "protocol": protocol, "metric": f"hr@{cutoff}{group}"}
                    records.append(head | difference.to_json())
    return records


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole result."""
    names = [arm for arm in ARMS if arm.split()[0] in options.encoders]
    train_all(options, [(arm, rate, TUNING_SEED) for arm in names for rate in RATES])
    chosen = chosen_rates(options.out, names)
    seeds = range(options.seeds)
    rate = {arm: chosen[arm]["learning_rate"] for arm in names}
    train_all(options, [(arm, rate[arm], seed) for arm in names for seed in seeds])
    store, found, arms, baselines = Store(options.store), {}, {}, None
    for arm in names:
        runs = [Path(options.out) / "runs" / run_name(arm, rate[arm], seed) for seed in seeds]
        found[arm] = [api.evaluate(run, store, baselines=False, device=options.device) for run in runs]
        arms[arm] = chosen[arm] | arm_record(found[arm], [RunFolder.open(run).state() for run in runs])
        if baselines is None:
            baselines = api.evaluate(runs[0], store, device="cpu")
    environment = RunFolder.open(runs[0]).environment()
    document = baselines.to_json()
    return {
        "schema_version": 1,
        "data": {"store": environment["store"], "simulated": document["simulated"], "counts": document["counts"]},
        "settings": SETTINGS | {"rates": RATES, "tuning_seed": TUNING_SEED, "seeds": options.seeds},
        "environment": {name: environment.get(name) for name in ("segue", "torch", "device", "precision", "commit")},
        "arms": arms,
        "baselines": [row for row in document["rows"] if row["kind"] == "baseline"],
        "listening": document["listening"],
        "contrasts": contrasts(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--encoders", nargs="+", choices=["causal", "cloze"], default=["causal", "cloze"])
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        for arm, rate, seed in json.loads(options.only):
            train_one(options.store, options.out, arm, rate, seed, options.device)
        return
    write_json(Path(options.out) / "result.json", study(options))


if __name__ == "__main__":
    main()
