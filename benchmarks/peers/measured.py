"""What every runner shares: its arguments, the log, the stamps of steps, and the one JSON line (NumPy alone)."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 128
BLOCKS: Final = 2
HEADS: Final = 8
NEGATIVES: Final = 1000
DROPOUT: Final = 0.2
LEARNING_RATE: Final = 0.005
HELD_OUT: Final = 2
"""Tracks at the end of each session that never train."""
CHUNKS: Final = 5
"""Parts of the timed steps whose rates are reported one by one."""
FEWEST: Final = 3
"""Timed steps of the slowest."""
LOOK_EVERY: Final = 20
"""Timed steps between two looks at a device."""


def runner_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of what every runner takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the log, as against_peers.py writes it")
    parser.add_argument("--tracks", type=int, required=True, help="V, rows of the track table")
    parser.add_argument("--steps", type=int, default=100, help="most timed steps")
    parser.add_argument("--seconds", type=float, default=20.0, help="timed steps end after this, but not before 3")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the timed ones")
    parser.add_argument("--batch", type=int, default=256, help="sessions in a batch")
    parser.add_argument("--length", type=int, default=20, help="most tracks an encoder reads")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--memory-gb", type=float, default=0.0, help="fail instead of using more; 0 = no limit")
    return parser


def begin(given: argparse.Namespace) -> None:
    """Bound the memory of this process and the threads of libraries not yet imported."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(given.threads)))
    if given.memory_gb:
        limit = int(given.memory_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@dataclass(frozen=True)
class Log:
    """Sessions laid end to end: rows of session s are `offsets[s]:offsets[s + 1]`."""

    tracks: NDArray[np.int32]
    """0..V - 1."""
    strength: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def read(cls, given: argparse.Namespace) -> Log:
        """Return the log of `--data`, cut to whole batches."""
        with np.load(given.data) as arrays:
            offsets = arrays["offsets"]
            whole = (len(offsets) - 1) // given.batch * given.batch
            assert whole, "the log has fewer sessions than a batch"
            offsets, end = offsets[: whole + 1], offsets[whole]
            return cls(arrays["tracks"][:end], arrays["strength"][:end], offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Training tracks of each session."""
        lengths: NDArray[np.int64] = np.diff(self.offsets) - HELD_OUT
        return lengths

    def training_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return session and track of each training row."""
        session = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        place = np.arange(len(self.tracks)) - self.offsets[session]
        trains = place < self.lengths[session]
        return session[trains], self.tracks[trains]

    def padded(self, width: int, pad: int, shift: int = 0) -> NDArray[np.int64]:
        """Return the training tracks plus `shift`, [sessions, width], right-padded with `pad`."""
        place = np.arange(width) + self.offsets[:-1, None]
        valid = np.arange(width) < self.lengths[:, None]
        return np.where(valid, self.tracks[np.minimum(place, len(self.tracks) - 1)].astype(np.int64) + shift, pad)


class Stamps:
    """When each training step ended; warm-up steps are not timed.

    Warm-up is `--warmup` steps or half of `--seconds`, whichever ends first; timing is `--steps` or `--seconds`, and
    never fewer than 3 steps. Where work is queued on a device, `wait` waits for it: when timing begins and then every
    `LOOK_EVERY` steps, which are the only steps that may end it.
    """

    def __init__(self, given: argparse.Namespace, wait: Callable[[], object] | None = None) -> None:
        self._given, self._wait = given, wait
        self._every = 1 if wait is None else LOOK_EVERY
        self._ends: list[float] = []
        self._cpu: list[float] = []
        self._begun = time.perf_counter()
        self._first: int | None = None

    @property
    def wanted(self) -> int:
        """Most steps to run, with those before timing."""
        return int(self._given.warmup + self._given.steps)

    def mark(self) -> bool:
        """Note the end of a step and return whether another is wanted."""
        timed = len(self._ends) - (self._first or 0)
        looks = self._first is None or timed % self._every == 0
        if self._wait is not None and looks:
            self._wait()
        self._ends.append(time.perf_counter())
        self._cpu.append(time.process_time())
        if self._first is None:
            warm = len(self._ends) >= self._given.warmup
            if warm or self._ends[-1] - self._begun > self._given.seconds / 2:
                self._first = len(self._ends) - 1
            return True
        spent = self._ends[-1] - self._ends[self._first]
        return not looks or timed < FEWEST or (timed < self._given.steps and spent < self._given.seconds)

    def facts(self) -> dict[str, Any]:
        """Return the rates of the chunks, the median step, and the CPU time (of all threads) of a mean step."""
        ends, cpu = self._ends[self._first :: self._every], self._cpu[self._first :: self._every]
        looks = len(ends) - 1
        timed = looks * self._every
        cuts = np.linspace(0, looks, min(CHUNKS, looks) + 1).astype(int).tolist()
        pairs = list(itertools.pairwise(cuts))
        rates = [self._given.batch * self._every * (b - a) / (ends[b] - ends[a]) for a, b in pairs]
        return {
            "sessions_per_s": [round(rate, 2) for rate in rates],
            "step_ms": round(1e3 * statistics.median(np.diff(ends).tolist()) / self._every, 3),
            "step_cpu_ms": round(1e3 * (cpu[-1] - cpu[0]) / timed, 3),
            "timed_steps": timed,
        }


def report(stamps: Stamps, computes: str, packages: Sequence[str], **more: Any) -> None:
    """Print the one JSON line of a run."""
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({**stamps.facts(), "peak_gb": round(peak, 3), "versions": versions, "computes": computes, **more}))
    sys.stdout.flush()


def _version(package: str) -> str:
    """Return a package's version; one run from its source tree tells it itself."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(importlib.import_module(package).__version__)
