"""How much longer a training step takes while other processes keep the cores busy, by wait policy and threads.

    python benchmarks/beside.py [--busy 0 2] [--seconds 6] [--rounds 3]

Trains `segue` and `paper-causal-s-plus-track` (shared negatives) on simulated sessions. Each cell runs in a process of
its own, since OpenMP reads its wait policy when it is loaded; cells take turns, and each is the median of its rounds.
`policy` is OMP_WAIT_POLICY: the `segue` command sets `passive`, and `unset` is what OpenMP does by itself. `slower` is
the time of a step beside busy processes over that of the same setting on an idle machine.
Prints one JSON document; the data is simulated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from segue.verbs.simulate import SimulateOptions, simulate

RECIPES: Final = {"segue": {}, "paper-causal-s-plus-track": {"next_track.kind": "shared"}}
POLICIES: Final = {"unset": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}, "active": {"OMP_WAIT_POLICY": "ACTIVE"}}
SPIN: Final = [sys.executable, "-c", "while True: pass"]


def step_ms(folder: str, recipe: str, threads: int, seconds: float) -> float:
    """Return the mean milliseconds of a step over `seconds` seconds, after ten steps."""
    import torch

    from segue.batches.order import epoch_order
    from segue.batches.split import split_store
    from segue.recipes import load_recipe
    from segue.store import Store
    from segue.training.device import choose_precision
    from segue.training.trainer import Trainer

    torch.set_num_threads(threads)
    store, resolved = Store(folder), load_recipe(recipe, RECIPES[recipe])
    split, device = split_store(store, resolved.data), torch.device("cpu")
    resolved = resolved.resolved(len(split.negatives), device.type)
    trainer = Trainer(store, split, resolved, device, bf16=choose_precision("auto", device) == "bf16")
    size, num = resolved.training.batch_size, len(split.train_begin)
    steps, begun = 0, 0.0
    for epoch in itertools.count():
        order = trainer.begin(torch.as_tensor(epoch_order(num, 0, epoch)), num // size)
        for index in order[: num // size * size].split(size):
            trainer.step(index)
            steps += 1
            if steps == 10:
                begun = time.perf_counter()
            if steps > 12 and time.perf_counter() - begun > seconds:
                return 1e3 * (time.perf_counter() - begun) / (steps - 10)
    raise AssertionError("endless")


def measured(cell: tuple[str, str, int, int], folder: str, seconds: float) -> float:
    """Return the milliseconds of a step of one cell, in a process of its own beside busy ones."""
    recipe, policy, threads, busy = cell
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    others = [subprocess.Popen(SPIN) for _ in range(busy)]
    command = [sys.executable, __file__, "--child", recipe, str(threads), folder, "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, env=environment | POLICIES[policy], capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return float(done.stdout)


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", nargs="+", default=list(RECIPES))
    parser.add_argument("--child", nargs=3, metavar=("RECIPE", "THREADS", "STORE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        recipe, threads, folder = given.child
        print(step_ms(folder, recipe, int(threads), given.seconds))
        return

    cores = len(os.sched_getaffinity(0))
    cells = list(itertools.product(given.recipe, POLICIES, sorted({1, cores}), given.busy))
    times = dict[Any, list[float]]()
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch) / "store")
        simulate(folder, SimulateOptions(sessions=12_800, tracks=50_000, store=True))
        for _, cell in itertools.product(range(given.rounds), cells):
            times.setdefault(cell, []).append(measured(cell, folder, given.seconds))
    idle = {cell[:3]: statistics.median(values) for cell, values in times.items() if cell[3] == 0}
    rows = [
        {
            **dict(zip(("recipe", "policy", "threads", "busy"), cell, strict=True)),
            "step_ms": round(statistics.median(values), 1),
            **({"slower": round(statistics.median(values) / idle[cell[:3]], 2)} if cell[:3] in idle else {}),
        }
        for cell, values in times.items()
    ]
    print(json.dumps({"cores": cores, "simulated": True, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
