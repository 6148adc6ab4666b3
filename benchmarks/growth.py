"""How the cost of a training step grows with negatives, batch and vocabulary, and that of an epoch with sessions.

    python benchmarks/growth.py [--device cpu|cuda] [--seconds 4] > growth.json

Trains `paper-causal-s-plus-track` with shared negatives on simulated sessions, one thing changed at a time from the
middle (1000 negatives, batches of 256 on a CPU and 1024 on a GPU, 25,600 sessions). Each cell is the median of the
steps of `--seconds` seconds, cells in turn over `--rounds`. Of the vocabulary only the tracks heard count, as in any
store; how the rate goes with tables of up to 4 M rows is measured by against_peers.py. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segue.batches.order import epoch_order
from segue.batches.split import split_store
from segue.recipes import load_recipe
from segue.simulation import config_of, simulate, write_store
from segue.store import Store
from segue.training.device import choose_precision
from segue.training.trainer import Trainer

NEGATIVES = (250, 500, 1000, 2000, 4000, 8192)
CPU_BATCHES, GPU_BATCHES = (64, 128, 256, 512), (256, 512, 1024, 2048)
SESSIONS = (6_400, 12_800, 25_600, 51_200)


def step_ms(store: Store, changes: Mapping[str, Any], device: torch.device, seconds: float) -> dict[str, float]:
    """Return milliseconds of a step, and the seconds of an epoch of them."""
    recipe = load_recipe("paper-causal-s-plus-track", {"next_track.kind": "shared", **changes})
    split = split_store(store, recipe.data)
    bf16 = choose_precision("auto", device) == "bf16"
    trainer = Trainer(store, split, recipe, device, bf16)
    size, num = recipe.training.batch_size, len(split.train_begin)
    times, epoch, done = [], 0, 0.0
    while done < seconds or len(times) < 12:
        steps = num // size
        order = trainer.begin(torch.as_tensor(epoch_order(num, 0, epoch)), steps)
        for step in range(steps):
            begun = time.perf_counter()
            trainer.step(order[step * size : (step + 1) * size])
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
            done += times[-1]
            if done >= seconds and len(times) >= 12:
                break
        epoch += 1
    middle = 1e3 * statistics.median(times[6:])
    return {"step_ms": round(middle, 2), "epoch_s": round(middle * num / size / 1e3, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device = torch.device(given.device)
    batches = CPU_BATCHES if device.type == "cpu" else GPU_BATCHES
    middle = batches[2]
    with tempfile.TemporaryDirectory() as scratch:
        stores = {}
        for sessions in SESSIONS:
            write_store(simulate(config_of(sessions, 200_000, 1, "full")), Path(scratch) / str(sessions))
            stores[sessions] = Store(Path(scratch) / str(sessions))
        base = {"next_track.negatives": 1000, "training.batch_size": middle}
        cells = [("negatives", num, 25_600, {**base, "next_track.negatives": num}) for num in NEGATIVES]
        cells += [("batch", size, 25_600, {**base, "training.batch_size": size}) for size in batches]
        cells += [("sessions", num, num, base) for num in SESSIONS]
        found: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(given.rounds):
            for what, value, sessions, changes in cells:
                found.setdefault((what, value), []).append(step_ms(stores[sessions], changes, device, given.seconds))
    rows = [
        {
            "changed": what,
            "to": value,
            "step_ms": statistics.median(run["step_ms"] for run in runs),
            "step_ms_rounds": [run["step_ms"] for run in runs],
            "epoch_s": statistics.median(run["epoch_s"] for run in runs),
        }
        for (what, value), runs in found.items()
    ]
    machine = {"device": given.device, "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps({"machine": machine | {"load": os.getloadavg()[0]}, "simulated": True, "cells": rows}, indent=1))


if __name__ == "__main__":
    main()
