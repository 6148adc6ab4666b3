"""Time and peak memory of `segue simulate`, as a log and as a store, each in a process of its own.

    python benchmarks/simulate.py [--sessions 450000] [--tracks 1000000] [--world full] [--only store|log]

Prints one JSON document: seconds and rows of each, peak resident memory in GB (ru_maxrss of that process, which counts
the interpreter and all imports), and the load of the machine, because other work on it slows this down.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from segue.verbs.simulate import SimulateOptions, simulate


def measured(kind: str, sessions: int, tracks: int, world: str) -> dict[str, Any]:
    """Return seconds, peak GB, rows and bytes of one run; meant for a fresh process."""

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        start = time.perf_counter()
        facts = simulate(out, SimulateOptions(sessions=sessions, tracks=tracks, world=world, store=kind == "store"))
        seconds = time.perf_counter() - start
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        return {
            "seconds": round(seconds, 1),
            "peak_gb": round(peak, 2),
            "rows": facts["simulated"]["rows"],
            "bytes_gb": round(size / 1e9, 2),
            "simulated": facts["simulated"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=450_000)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--world", default="full")
    parser.add_argument("--only", choices=("store", "log"))
    given = parser.parse_args()
    machine = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0], "numpy": np.__version__}
    result: dict[str, Any] = {"machine": machine}
    for kind in (given.only,) if given.only else ("store", "log"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result[kind] = pool.apply(measured, (kind, given.sessions, given.tracks, given.world))
    machine["load_after"] = os.getloadavg()[0]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
