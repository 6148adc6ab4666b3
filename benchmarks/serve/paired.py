"""Load on several versions of the service, or several exports, by turns, so that noise of the machine meets all.

    git worktree add OLD COMMIT
    python benchmarks/serve/paired.py EXPORT --sources old=OLD/src new=src --connections 32 --rounds 16 --seconds 3
    python benchmarks/serve/paired.py EXPORT --sources old=OLD/src new=src --rate 300 --rounds 16 --seconds 3
    python benchmarks/serve/paired.py EXPORT --exports old=THEIRS:OLD/src new=EXPORT --rate 300

Requests are of tracks of EXPORT; other exports know the same tracks. All versions run during the whole measurement,
each with its own `src` folder on PYTHONPATH; their packages must be installed. Prints one JSON document: for each
version the median and the quartiles over rounds of answers a second, latencies and CPU milliseconds of the service for
each answer, its resident memory in MB, and the median of their ratios to the first version in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from load import Connections, at_rate, bodies, saturated

_TICKS_S = os.sysconf("SC_CLK_TCK")


class Version:
    """One running version of the service."""

    def __init__(self, source: Path, export: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "segue", "serve", str(export), "--port", str(self.port)]
        command += ["--sessions", str(folder / f"{self.port}.sqlite")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(source), os.environ.get("PYTHONPATH", "")))}
        self.process = subprocess.Popen(command, env=environment, cwd=folder)

    def wait(self) -> None:
        """Wait until it is ready."""
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=5).close()
                return
            if self.process.poll() is not None:
                raise SystemExit("a version ended by itself")
            time.sleep(0.1)

    def cpu_s(self) -> float:
        """Return the CPU seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_S

    def resident_mb(self) -> float:
        """Return the resident memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


@contextlib.contextmanager
def running(wanted: dict[str, tuple[Path, Path]]) -> Iterator[dict[str, Version]]:
    """Yield all versions, each of a source folder and an export, ready; they end with the block."""
    with tempfile.TemporaryDirectory() as folder:
        versions = {name: Version(source, export, Path(folder)) for name, (source, export) in wanted.items()}
        try:
            for version in versions.values():
                version.wait()
            yield versions
        finally:
            for version in versions.values():
                version.process.terminate()
            for version in versions.values():
                version.process.wait()


def measured(version: Version, requests: list[bytes], given: argparse.Namespace, seconds: float) -> dict[str, float]:
    """Return the figures of one turn."""
    connections = Connections(version.port, requests)
    cpu_s, begin = version.cpu_s(), time.perf_counter()
    if given.rate:
        at_rate(connections, given.rate, seconds)
    else:
        saturated(connections, given.connections, seconds)
    wall_s, cpu_s = time.perf_counter() - begin, version.cpu_s() - cpu_s
    if connections.failed:
        raise SystemExit(f"{connections.failed} requests failed")
    p50, p90, p99 = (1e3 * float(value) for value in np.quantile(connections.taken, (0.5, 0.9, 0.99)))
    num = len(connections.taken)
    return {"per_second": num / wall_s, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "cpu_ms": 1e3 * cpu_s / num,
            "resident_mb": version.resident_mb()}  # fmt: skip


def summary(turns: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Return [lower quartile, median, upper quartile, median ratio to the first version] of each figure."""
    first = next(iter(turns.values()))
    shown: dict[str, dict[str, list[float]]] = {}
    for name, rows in turns.items():
        shown[name] = {}
        for figure in first[0]:
            values = np.array([row[figure] for row in rows])
            ratio = float(np.median(values / np.array([row[figure] for row in first])))
            shown[name][figure] = [*np.quantile(values, (0.25, 0.5, 0.75)).round(3).tolist(), round(ratio, 3)]
    return shown


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--sources", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--exports", nargs="+", default=[], metavar="NAME=EXPORT[:FOLDER]")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    here, wanted = Path(__file__).resolve().parents[2] / "src", dict[str, tuple[Path, Path]]()
    for name, _, folder in (each.partition("=") for each in given.sources):
        wanted[name] = Path(folder).resolve(), given.export.resolve()
    for name, _, folder in (each.partition("=") for each in given.exports):
        export, _, source = folder.partition(":")
        wanted[name] = Path(source or here).resolve(), Path(export).resolve()
    if not wanted:
        parser.error("name --sources or --exports")
    requests, generator = bodies(given.export, 2000, 10), random.Random(0)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
    with running(wanted) as versions:
        for version in versions.values():
            measured(version, requests, given, 2.0)  # warm
        for _ in range(given.rounds):
            for name in generator.sample([*versions], len(versions)):
                turns[name].append(measured(versions[name], requests, given, given.seconds))
    load = {"rate": given.rate} if given.rate else {"connections": given.connections}
    print(json.dumps({"export": given.export.name, **load, "rounds": given.rounds, "versions": summary(turns)}))


if __name__ == "__main__":
    main()
