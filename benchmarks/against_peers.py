"""Training throughput of Segue beside RePlay, RecTools, RecBole and plain PyTorch on one CPU, turn and turn about.

    python benchmarks/against_peers.py [--tracks 50000 1000000] [--peers replay torch] [--rounds 3] > peers.json
    python benchmarks/against_peers.py --reference segue-recipe --tracks 4653 --peers replay
    python benchmarks/against_peers.py --length 200 --batch 25 --reference segue-history --peers replay rectools-flat
    python benchmarks/against_peers.py --quick

Run it with the project's own Python (3.11 or 3.12). Each peer gets an environment of its own under .peers/, built from
the pins in benchmarks/peers/ when first needed (1.5 GB each; a network, no GPU). One log is simulated for each
vocabulary size; its sessions have 8 to 18 training tracks, and the tracks heard are spread at random over all V rows.
Every system then trains on it in a process of its own, A B C A B C ..., as many rounds as asked.

All have width 128, 2 blocks, 8 heads, 20 tracks at most, dropout 0.2, batches of 256 sessions; what else each computes
differs, and `computes` in the result says how. Rates are of steady steps: imports, building and warm-up do not count.
Ratios are Segue's rate over a peer's in the same round. `segue` trains the paper's recipe with shared negatives, which
is nearest to what the peers compute; `--reference segue-recipe` puts the default recipe in its place. With a longer
`--length` L every sequence has L + 1 training tracks: of one listener to `segue-history` (sessions of 20 tracks, of
which each predicts all but its first, after L plays before), one sequence to the others. On a shared
machine `--lock FILE` holds a lock around each process, and a run during which others used a tenth of the CPU
(`others_cpu`) is repeated. Prints one JSON document; a table goes to stderr. figure_peers.py draws the document.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from peers.environments import ROOT, python_of
from peers.processes import QUIET, run_quietly
from peers.systems import SYSTEMS

from segue.verbs.simulate import SimulateOptions, simulate

SESSIONS: Final = 25_600
"""Of the simulated log: an epoch of 100 batches."""
SESSION: Final = 20
"""Most tracks of a simulated session."""
_FLAGS: Final = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile")


def write_log(path: Path, tracks: int, sessions: int, length: int) -> dict[str, Any]:
    """Write a simulated log whose tracks are spread over V rows and return what it is; meant for a fresh process.

    Sequences longer than sessions, of `length` + 1 training tracks, are sessions one after another.
    """
    from segue.store import NUM_SPECIALS, Store

    with tempfile.TemporaryDirectory() as scratch:
        simulate(Path(scratch) / "store", SimulateOptions(sessions=sessions, tracks=tracks, store=True))
        store = Store(Path(scratch) / "store")
        row = np.random.default_rng(0).permutation(tracks)[: store.num_tracks].astype(np.int32)
        offsets = np.asarray(store.offsets)
        if length > SESSION:
            offsets = np.arange(0, store.num_rows + 1, length + 3)
        lengths = np.diff(offsets) - 2
        end = offsets[-1]
        np.savez(path, tracks=row[store.tracks - NUM_SPECIALS][:end], strength=store.strength[:end], offsets=offsets)
        return {
            "sessions": len(lengths),
            "tracks_heard": store.num_tracks,
            "training_tracks_of_a_session": [int(lengths.min()), round(float(lengths.mean()), 2), int(lengths.max())],
        }


def measured(log: Path, tracks: int, names: list[str], given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of each system, taken in turns; one that did not run is not tried again."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(given.rounds):
        for name in names:
            if not (runs[name] and "not_run" in runs[name][-1]):
                runs[name].append(run_quietly(SYSTEMS[name], log, tracks, given))
                print(f"V={tracks:,} round {turn + 1}/{given.rounds} {name}: {told(runs[name][-1])}", file=sys.stderr)
    return runs


def told(run: dict[str, Any]) -> str:
    """Return one run in words."""
    if "not_run" in run:
        return f"not run: {run['not_run']}"
    busy = f" (others used {run['others_cpu']:.0%} of the CPU)" if run["others_cpu"] > QUIET else ""
    return f"{statistics.median(run['sessions_per_s']):.1f} sessions/s{busy}"


def spread(values: list[float], digits: int = 2) -> dict[str, float]:
    """Return median, least and greatest."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def summary(runs: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rates of one system over all rounds, and Segue's rate over its own round by round."""
    if "not_run" in runs[-1]:
        return {"not_run": runs[-1]["not_run"]}
    rates = [statistics.median(run["sessions_per_s"]) for run in runs]
    last = runs[-1]
    result: dict[str, Any] = {
        "sessions_per_s": spread([rate for run in runs for rate in run["sessions_per_s"]]),
        "rounds": [round(rate, 2) for rate in rates],
        "step_ms": spread([run["step_ms"] for run in runs]),
        "step_cpu_ms": spread([run["step_cpu_ms"] for run in runs]),
        "peak_gb": max(run["peak_gb"] for run in runs),
        "others_cpu": max(run["others_cpu"] for run in runs),
    }
    if reference is not runs and "not_run" not in reference[-1]:
        pairs = list(zip(reference, runs, strict=True))
        result["segue_is_faster"] = spread(
            [statistics.median(a["sessions_per_s"]) / rate for (a, _), rate in zip(pairs, rates, strict=True)]
        )
        result["segue_is_faster_by_cpu"] = spread([b["step_cpu_ms"] / a["step_cpu_ms"] for a, b in pairs])
    summed = ("sessions_per_s", "step_ms", "step_cpu_ms", "peak_gb", "others_cpu")
    return result | {key: value for key, value in last.items() if key not in summed}


def machine() -> dict[str, Any]:
    """Return what is measured on."""
    named = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    lines = {name.strip(): value.strip() for name, _, value in named}
    return {
        "cpu": lines.get("model name", ""),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in _FLAGS if flag in lines.get("flags", "").split()],
        "memory_gb": round(_memory_gb(), 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _git(*command: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def print_table(results: list[dict[str, Any]]) -> None:
    """Print a line a system to stderr."""
    for part in results:
        print(
            f"\nV = {part['tracks']:,}\n{'system':18} {'sessions/s (min-max)':>28} {'Segue is':>20} {'GB':>6}",
            file=sys.stderr,
        )
        for name, facts in part["systems"].items():
            if "not_run" in facts:
                print(f"{name:18} not run: {facts['not_run']}", file=sys.stderr)
                continue
            rate, ratio = facts["sessions_per_s"], facts.get("segue_is_faster")
            rates = f"{rate['median']:.0f} ({rate['min']:.0f}-{rate['max']:.0f})"
            times = f"{ratio['median']:.2f}x ({ratio['min']:.2f}-{ratio['max']:.2f})" if ratio else ""
            print(f"{name:18} {rates:>28} {times:>20} {facts['peak_gb']:6.2f}", file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = list(SYSTEMS)
    usual = [name for name in peers if SYSTEMS[name].usual and name != "segue"]
    parser.add_argument("--peers", nargs="+", choices=peers, default=usual, metavar="NAME", help=", ".join(peers))
    ours = [name for name in peers if SYSTEMS[name].environment is None and name.startswith("segue")]
    parser.add_argument("--reference", choices=ours, default="segue", help="Segue's recipe")
    parser.add_argument("--length", type=int, default=SESSION, help="most tracks an encoder reads")
    parser.add_argument("--tracks", nargs="+", type=int, default=[50_000], help="vocabulary sizes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions of the simulated log")
    parser.add_argument("--steps", type=int, default=200, help="most timed steps of a process")
    parser.add_argument("--seconds", type=float, default=15.0, help="timed steps of a process end after this")
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory-gb", type=float, default=0.6 * _memory_gb(), help="most memory of a process")
    parser.add_argument("--timeout", type=float, default=240.0, help="most seconds of a process")
    parser.add_argument("--retries", type=int, default=2, help="repeats of a run that others disturbed")
    parser.add_argument("--lock", type=Path, help="file to lock around each process")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: Segue and RePlay only")
    parser.add_argument("--here", action="store_true", help="run the peers by this Python, which must have them")
    parser.add_argument("--quick", action="store_true", help="one short round")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.warmup = 1, 3.0, 3
    return given


def main() -> None:
    given = parse()
    names = list(dict.fromkeys([given.reference, *given.peers]))
    for name in names:
        python_of(None if given.here else SYSTEMS[name].environment)
    names_of_setting = "rounds sessions steps seconds warmup batch length threads memory_gb device here"
    document: dict[str, Any] = {
        "schema_version": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "src", "benchmarks")),
        "machine": machine(),
        "setting": {name: getattr(given, name) for name in names_of_setting.split()},
        "results": [],
    }
    for tracks in given.tracks:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "log.npz"
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                log = pool.apply(write_log, (path, tracks, given.sessions, given.length))
            runs = measured(path, tracks, names, given)
        systems = {name: summary(runs[name], runs[given.reference]) for name in names}
        document["results"].append({"tracks": tracks, "log": log, "systems": systems})
    document["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    print_table(document["results"])
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
