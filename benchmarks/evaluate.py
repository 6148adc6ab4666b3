"""Rate and peak memory of both evaluation protocols, of a model with random weights over a simulated store.

    python benchmarks/evaluate.py [--sessions 20000] [--tracks 1000000] [--chunks 7] [--device cpu]

Every track of the catalogue has a row and is a candidate, whether it was played or not. A sampled chunk counts
everything: drawing 1,000 candidates a session, the encoder, scores, ranks. Beside it stand its parts and the floor
(gathering the rows that must be read, into one buffer). A full chunk ranks each target among all tracks and lists the
best 20; beside it stands the machine's own rate of float32 matrix products [256, 128] x [128, 8192], taken before each
chunk.

Prints one JSON document: medians with the smallest and the largest chunk, resident memory in GB before and at the peak
of the measured part (both count the interpreter, all imports and the track table; Linux), and the load of the machine,
because other work slows this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.batches.counts import TrainingCounts
from segue.batches.split import split_store
from segue.evaluation import make_scene
from segue.evaluation.candidates import session_candidates
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.ranking_pass import BATCH, full_ranks, sampled_ranks
from segue.model import Facts, build_model
from segue.ranking import ModelScorer
from segue.ranking.dots import dots
from segue.recipes import load_recipe
from segue.simulation import config_of, simulate, write_store
from segue.store import NUM_SPECIALS, Store
from segue.training.device import choose_device

SAMPLED_CHUNK = 2048
FULL_CHUNK = 1024
"""Sessions in a timed chunk."""
SHAPE = (256, 8192)
"""Sessions and tracks of the matrix product that full ranking is held against."""
RECIPE = "paper-causal-s-plus-track"


class Bench:
    """One simulated store, its test targets, and an untrained model."""

    def __init__(self, folder: Path, sessions: int, tracks: int, device: torch.device) -> None:
        log = simulate(config_of(sessions, tracks, 1, "full"))
        write_store(log, folder / "store")
        self.facts = dict(log.summary)
        store, recipe = Store(folder / "store"), load_recipe(RECIPE)
        every = np.arange(NUM_SPECIALS, tracks + NUM_SPECIALS, dtype=np.int32)
        split = replace(split_store(store, recipe.data), candidates=every)
        self.scene: EvaluationScene = make_scene(store, split, recipe.data, recipe.evaluation, "test", device)
        generator = torch.Generator().manual_seed(0)
        encoder = build_model(recipe.model, Facts(tracks, TrainingCounts.nothing(tracks + NUM_SPECIALS)), generator)
        self.scorer = ModelScorer(encoder.to(device), every)
        session, config = self.scene.contexts.cases.session, recipe.evaluation
        self.candidates = session_candidates(store, session, every, config.candidates, config.seed, device)
        self.device, self.width = device, encoder.width
        self._place = 0

    def chosen(self, num: int) -> np.ndarray:
        """Return the next `num` targets, round the end."""
        index = (self._place + np.arange(num)) % len(self.scene.contexts.cases)
        self._place += num
        return index

    def seconds(self, work: Callable[[], Any]) -> float:
        """Return how long `work` takes, the device's queue included."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def sampled(bench: Bench, chunks: int) -> dict[str, Any]:
    """Return sessions/s of the sampled protocol, of its parts, and of the floor."""
    num, found = SAMPLED_CHUNK, {name: [] for name in ("all", "draw", "encode", "score", "floor")}
    weight = bench.scorer.encoder.table.weight.detach()
    for chunk in range(chunks + 1):
        chosen = bench.chosen(num)
        held, candidates = bench.scene.part(bench.scene.contexts.cases, chosen), bench.candidates.of(chosen)
        batch = next(held.blocks(BATCH))[1]
        index = np.arange(BATCH)
        rows = candidates.rows(index)
        state = bench.scorer.encoder.next_state(batch).detach()
        buffer = torch.empty(rows.shape[1], bench.width, device=bench.device)

        def gather(rows=rows, buffer=buffer) -> None:
            for row in rows:
                torch.index_select(weight, 0, row, out=buffer)

        times = {
            "all": bench.seconds(lambda: sampled_ranks(bench.scorer, held, candidates)) / num,  # noqa: B023
            "draw": bench.seconds(lambda: candidates.rows(index)) / BATCH,  # noqa: B023
            "encode": bench.seconds(lambda: encode(bench, batch)) / BATCH,  # noqa: B023
            "score": bench.seconds(lambda: dots(weight, state, rows)) / BATCH,  # noqa: B023
            "floor": bench.seconds(gather) / BATCH,
        }
        for name, each in times.items() if chunk else ():  # the first warms up
            found[name].append(1 / each)
    return {f"{name}_sessions_per_s": spread(rates) for name, rates in found.items()} | {"chunk": num}


@torch.no_grad()
def encode(bench: Bench, batch: Any) -> None:
    bench.scorer.encoder.next_state(batch)


def full(bench: Bench, chunks: int) -> dict[str, Any]:
    """Return sessions/s and GFLOP/s of the full protocol beside the machine's own matrix products."""
    rates, products, shares = [], [], []
    flops = 2 * bench.width * len(bench.scene.split.candidates)
    for chunk in range(chunks + 1):
        chosen = bench.chosen(FULL_CHUNK)
        held = bench.scene.part(bench.scene.contexts.cases, chosen)
        own = product_rate(bench)
        rate = FULL_CHUNK / bench.seconds(lambda: full_ranks(bench.scorer, held))  # noqa: B023
        if chunk:
            rates.append(rate)
            products.append(own)
            shares.append(rate * flops / 1e9 / own)
    return {
        "sessions_per_s": spread(rates),
        "gflop_per_s": spread([rate * flops / 1e9 for rate in rates]),
        "machine_gflop_per_s": spread(products),
        "share_of_machine": spread(shares, 3),
        "chunk": FULL_CHUNK,
    }


def product_rate(bench: Bench, repeats: int = 30) -> float:
    """Return GFLOP/s of the matrix product that full ranking is held against."""
    sessions = torch.randn(SHAPE[0], bench.width, device=bench.device)
    tracks = torch.randn(bench.width, SHAPE[1], device=bench.device)
    out = torch.empty(SHAPE, device=bench.device)
    torch.matmul(sessions, tracks, out=out)
    taken = bench.seconds(lambda: [torch.matmul(sessions, tracks, out=out) for _ in range(repeats)])
    return 2 * SHAPE[0] * SHAPE[1] * bench.width * repeats / taken / 1e9


def spread(values: list[float], digits: int = 0) -> dict[str, float]:
    """Return median, smallest and largest."""
    named = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in named.items()}


def resident_gb(name: str) -> float:
    """Return an entry of /proc/self/status in GB: VmRSS now, VmHWM at its peak."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split(f"{name}:")[1].split()[0]) / 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--chunks", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = choose_device(given.device)
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.sessions, given.tracks, device)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        memory = {"before_gb": resident_gb("VmRSS")}
        measured = {"sampled": sampled(bench, given.chunks), "full": full(bench, given.chunks)}
        memory |= {"peak_gb": resident_gb("VmHWM")}
    machine |= {"load_after": os.getloadavg()[0]}
    memory |= {"track_table_gb": round((given.tracks + NUM_SPECIALS) * bench.width * 4 / 1e9, 2)}
    print(json.dumps({"machine": machine, **measured, "memory": memory, "simulated": bench.facts}, indent=1))


if __name__ == "__main__":
    main()
