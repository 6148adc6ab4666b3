"""Seconds that whole trainings of a recipe take on a GPU, in turns: as it is, changed, and of an earlier commit.

    python benchmarks/gpu_recipe.py --variant now src --variant exact src 'next_track.kind="full"' \\
        --variant before OLD/src [--recipe segue] [--sessions 450000] [--tracks 1000000] [--rounds 1]

A variant is a name, a source tree that its own process imports (of an earlier commit: `git worktree add OLD COMMIT`),
and changed keys. Each source tree simulates its own store of the same log, which does not count. Trainings take turns,
each with empty caches of compiled kernels. It gives seconds of the first epoch, which compiles, of an epoch (the median
of the others), of all epochs with their validation, of the whole command, epochs, and the best validation metrics. Says
each on stderr as it ends, and prints one JSON document; the data is simulated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SETTINGS = ("training.batch_size=1024", "training.validation_targets=50000")
"""What all variants change, as the studies of this size do."""


def command(source: Path, caches: Path, *words: str) -> float:
    """Run `segue WORDS` of a source tree, which keeps compiled kernels in the folder `caches`; return its seconds."""
    module = "segue.run" if (source / "segue" / "run.py").is_file() else "segue"
    path = os.pathsep.join([str(source.resolve()), os.environ.get("PYTHONPATH", "")])
    begun = time.perf_counter()
    asked = [sys.executable, "-m", module, *words]
    environment = os.environ | {name: str(caches / name) for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
    environment |= {"PYTHONPATH": path}
    found = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"{' '.join(asked)} with {source} failed:\n{found.stderr[-2000:]}")
    return time.perf_counter() - begun


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the records of a file of a run."""
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def training(source: Path, store: Path, run: Path, recipe: str, changes: list[str]) -> dict[str, Any]:
    """Train, and return what it took."""
    settings = [word for change in (*SETTINGS, *changes) for word in ("--set", change)]
    whole = command(source, run.with_suffix(".caches"), "train", str(store), str(run), "--recipe", recipe, *settings)
    timings, metrics = lines(run, "timings"), lines(run, "metrics")
    best = max(metrics, key=lambda line: float(line.get("validation.ndcg@20", line["validation.hr@10"])))
    return {
        "epochs": len(timings),
        "first_epoch_s": round(timings[0]["train_s"], 1),
        "epoch_s": round(statistics.median(line["train_s"] for line in timings[1:] or timings), 3),
        "validation_s": round(statistics.median(line["validate_s"] for line in timings[1:] or timings), 3),
        "all_epochs_s": round(sum(line["train_s"] + line["validate_s"] for line in timings), 1),
        "whole_command_s": round(whole, 1),
        "best": {key: round(value, 4) for key, value in best.items() if key.startswith("validation.")},
    }


def main() -> None:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", nargs="+", action="append", required=True, metavar=("NAME", "SRC"))
    parser.add_argument("--recipe", default="segue")
    parser.add_argument("--sessions", type=int, default=450_000)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name, *_ in given.variant}
    size = ("--sessions", str(given.sessions), "--tracks", str(given.tracks), "--seed", "1", "--world", "full")
    with tempfile.TemporaryDirectory() as scratch:
        stores: dict[str, Path] = {}
        for _, source, *_changes in given.variant:
            if source not in stores:
                stores[source] = Path(scratch) / f"store-{len(stores)}"
                command(Path(source), Path(scratch), "simulate", str(stores[source]), *size, "--store")
        for turn in range(given.rounds):
            for name, source, *changes in given.variant:
                run = Path(scratch) / f"{name}-{turn}"
                found[name].append(training(Path(source), stores[source], run, given.recipe, changes))
                print(name, json.dumps(found[name][-1]), file=sys.stderr, flush=True)
    variants = {name: {"source": source, "changes": changes} for name, source, *changes in given.variant}
    simulated = {"sessions": given.sessions, "tracks": given.tracks}
    print(json.dumps({"simulated": simulated, "variants": variants, "trainings": found}, indent=1))


if __name__ == "__main__":
    main()
