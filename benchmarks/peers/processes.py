"""One run of one system in a process of its own, and how much of the machine others used meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from peers.environments import ROOT, python_of
from peers.systems import System

QUIET: Final = 0.1
"""Share of the machine's CPU time that others may use before a run is repeated.

Two threads that wait for each other in a spinning barrier slow down twentyfold when a third wants their core."""
_PASSED_ON: Final = ("steps", "seconds", "warmup", "batch", "length", "threads", "memory_gb", "device")
_FULL: Final = ("allocate memory", "MemoryError", "bad_alloc")


def run_quietly(system: System, log: Path, tracks: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return the run of `system` that others disturbed least, of up to 1 + `--retries`: the first quiet one ends it."""
    runs: list[dict[str, Any]] = []
    for _ in range(1 + given.retries):
        runs.append(_run_once(system, log, tracks, given))
        if "not_run" in runs[-1] or runs[-1]["others_cpu"] < QUIET:
            return runs[-1]
    return min(runs, key=lambda run: float(run["others_cpu"]))


def _run_once(system: System, log: Path, tracks: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return what one process of `system` reports, or why it did not: `{"not_run": ...}`."""
    script = str(ROOT / "benchmarks" / "peers" / system.script)
    command = [
        str(python_of(None if given.here else system.environment)),
        script,
        *system.arguments,
        "--data",
        str(log),
    ]
    for name in _PASSED_ON:
        command += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    try:
        with _held(given.lock):
            begun = _cpu_seconds()
            done = subprocess.run(
                [*command, "--tracks", str(tracks)], capture_output=True, text=True, timeout=given.timeout
            )
            ended = _cpu_seconds()
    except subprocess.TimeoutExpired:
        return {"not_run": f"took more than {given.timeout:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        wall, busy, ours = (after - before for before, after in zip(begun, ended, strict=True))
        others = max(busy - ours, 0.0) / (wall * (os.cpu_count() or 1))
        result: dict[str, Any] = json.loads(lines[-1])
        return {**result, "others_cpu": round(others, 3)}
    if any(sign in done.stderr for sign in _FULL):
        return {"not_run": f"out of memory (limit {given.memory_gb:.0f} GB)"}
    return {"not_run": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}


@contextlib.contextmanager
def _held(lock: Path | None) -> Iterator[None]:
    """Hold the lock file, where one is named."""
    if lock is None:
        yield
        return
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _cpu_seconds() -> tuple[float, float, float]:
    """Return the clock, and the CPU seconds so far of the whole machine and of this process with its children."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, *interrupts_and_steal = fields
    busy = (user + nice + system + sum(interrupts_and_steal)) / os.sysconf("SC_CLK_TCK")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), busy, sum(usage.ru_utime + usage.ru_stime for usage in used)
