"""Time to open a store, by its size, in a fresh process each: the manifest alone, then the first look at each part.

    python benchmarks/store_open.py [--sessions 3000 30000 300000 3000000] [--tracks 1000000] [--opens 50]
        [--stores STORE ...]

Stores come from `segue simulate --store` (one shard), or are those named. Prints one JSON document: milliseconds,
medians over `--opens` opens after the import, the first apart; what a first look costs (arrays of several shards are
joined in memory then, so it grows with their rows); resident memory before and after opening; the machine's load.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segue.store import Store
from segue.verbs.simulate import SimulateOptions, simulate


def milliseconds(work: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def simulated(path: Path, sessions: int, tracks: int) -> None:
    """Write a store; run in a process of its own."""

    simulate(path, SimulateOptions(sessions=sessions, tracks=tracks, store=True))


def measured(path: Path, opens: int) -> dict[str, Any]:
    """Return times and sizes of one store; meant for a fresh process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    first = milliseconds(lambda: Store(path))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    times = sorted(milliseconds(lambda: Store(path)) for _ in range(opens))
    store = Store(path)
    looks = {
        "session": lambda: store.tracks[store.offsets[1] : store.offsets[2]].sum(),
        "vocabulary": lambda: store.vocabulary.row(store.vocabulary.track_id(store.num_tracks // 2 + 3)),
    }
    return {
        "rows": store.num_rows,
        "sessions": store.num_sessions,
        "tracks": store.num_tracks,
        "shards": len(store.manifest.shards),
        "bytes_gb": round(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e9, 3),
        "open_first_ms": round(first, 3),
        "open_ms": round(statistics.median(times), 3),
        "open_slowest_ms": round(times[-1], 3),
        "grown_by_opening_mb": round(after - before, 1),
        "first_look_ms": {name: round(milliseconds(look), 3) for name, look in looks.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="*", default=[3_000, 30_000, 300_000, 3_000_000])
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--opens", type=int, default=50)
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="stores to open besides the simulated")
    given = parser.parse_args()
    machine = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0], "numpy": np.__version__}
    result: dict[str, Any] = {"machine": machine, "stores": []}

    def apart(work: Callable[..., Any], *arguments: Any) -> Any:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(work, arguments)

    for store in given.stores:
        result["stores"].append(apart(measured, store, given.opens))
    for sessions in given.sessions:
        with tempfile.TemporaryDirectory() as scratch:
            apart(simulated, Path(scratch) / "store", sessions, given.tracks)
            result["stores"].append(apart(measured, Path(scratch) / "store", given.opens))
    machine["load_after"] = os.getloadavg()[0]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
