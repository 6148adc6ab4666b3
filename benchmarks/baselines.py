"""Rate at which each baseline ranks all tracks, over a simulated log that the script draws itself.

    python benchmarks/baselines.py [--sessions 450000] [--tracks 1000000] [--queries 4096] [--threads 2] [--repeats 3]

Sessions have 10 to 20 plays. A play follows the one before (a fixed successor of each track, right half of the time) or
is drawn by popularity, (rank + 20)^-0.9. Contexts are drawn alike. For each baseline, with its default options and with
the dearest ones of its grid: seconds to fit, and sessions per second for the standing of a target and the best 20 among
all tracks, `Baseline.stand` on blocks of 512 in threads, as the evaluation runs it. Sessions per second of processor
time are what one free core does, whatever else the machine does. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from segue.batch import Batch
from segue.batches.listener_past import ListenerRanges
from segue.batches.session_numbers import SESSION_NUMBER
from segue.neighbours.sparse_scores import starts
from segue.ranking.baselines import BASELINES, Baseline, TrainingRows
from segue.store import NUM_SPECIALS

DEAREST = {
    "markov": {"order": 3},
    "sequential-rules": {"steps": 20, "lasts": 5, "fade": 2.0},
    "item-knn": {"lasts": 20, "fade": 5.0},
    "v-sknn": {"neighbours": 500, "recent": 2000},
    "ordered-neighbours": {"neighbours": 500, "recent": 2000, "fade": 4.0},
    "own-plays": {"plays": 3000},
}
"""Options of the grid that cost most."""
BLOCK = 512
PLAYS_OF_A_LISTENER = 150
DAYS = 365


def drawn(num: int, tracks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tracks of `num` sessions, one after another, and their offsets."""
    generator = np.random.default_rng(seed)
    offsets = starts(generator.integers(10, 21, num))
    popularity = np.cumsum((np.arange(tracks) + 20.0) ** -0.9)
    plays = np.searchsorted(popularity, generator.random(offsets[-1]) * popularity[-1])
    follows = generator.random(offsets[-1]) < 0.5
    follows[offsets[:-1]] = False
    start = np.maximum.accumulate(np.where(follows, 0, np.arange(len(plays))))
    return (plays[start] + 977 * (np.arange(len(plays)) - start)) % tracks + NUM_SPECIALS, offsets


def training_rows(num: int, tracks: int) -> TrainingRows:
    """Return the rows of `num` training sessions, with times and listeners."""
    plays, offsets = drawn(num, tracks, 1)
    lengths = np.diff(offsets)
    counts = np.bincount(plays, minlength=tracks + NUM_SPECIALS)
    listener = offsets[:-1] // (PLAYS_OF_A_LISTENER * 15)
    first = offsets[np.searchsorted(listener, listener)]
    return TrainingRows(
        tracks=plays,
        session=np.repeat(np.arange(num), lengths),
        strength=np.zeros(len(plays), np.uint8),
        skip_at_least=2,
        counts=counts,
        candidates=np.arange(NUM_SPECIALS, tracks + NUM_SPECIALS, dtype=np.int32),
        began=np.arange(num) * DAYS * 86_400 // num,
        number=np.arange(num),
        earlier=ListenerRanges(np.arange(len(plays)), first, offsets[:-1]),
        earlier_tracks=plays,
    )


def blocks(num: int, tracks: int, sessions: int) -> list[tuple[Batch, torch.Tensor]]:
    """Return contexts, and a target of each."""
    plays, offsets = drawn(num, tracks, 2)
    found = []
    for begin in range(0, num, BLOCK):
        end = min(begin + BLOCK, num)
        some, bounds = plays[offsets[begin] : offsets[end]], offsets[begin : end + 1] - offsets[begin]
        position = np.arange(len(some)) - np.repeat(bounds[:-1], np.diff(bounds))
        number = {SESSION_NUMBER: torch.from_numpy(np.arange(begin, end) * (sessions // num))}
        parts = (torch.from_numpy(part) for part in (some, np.zeros_like(some), position, bounds))
        batch = Batch(*parts, int(np.diff(bounds).max()), {}, number)
        found.append((batch, torch.from_numpy(plays[offsets[begin:end]][:, None])))
    return found


def rate(baseline: Baseline, asked: list[tuple[Batch, torch.Tensor]], threads: int) -> tuple[float, float]:
    """Return sessions per second, and per second of processor time."""
    begin, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda one: baseline.stand(*one, 20), asked))
    num = sum(batch.num_sessions for batch, _ in asked)
    return num / (time.perf_counter() - begin), num / (time.process_time() - used)


def main() -> int:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=450_000)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, asked = training_rows(given.sessions, given.tracks), blocks(given.queries, given.tracks, given.sessions)
    rows = []
    for kind in BASELINES:
        if given.only and kind.name not in given.only:
            continue
        for title, options in (("default", {}), ("dearest", DEAREST.get(kind.name))):
            if options is None:
                continue
            begin = time.perf_counter()
            baseline = kind(data, kind.config_type(**options))
            rate(baseline, asked[:1], 1)  # builds what is built when first asked
            fit_s = time.perf_counter() - begin
            rates = [rate(baseline, asked, given.threads) for _ in range(given.repeats)]
            walls = [wall for wall, _ in rates]
            rows.append(
                {
                    "name": kind.name,
                    "options": title,
                    "fit_s": round(fit_s, 2),
                    "sessions_per_s": round(statistics.median(walls)),
                    "spread": [round(min(walls)), round(max(walls))],
                    "sessions_per_cpu_s": round(statistics.median(cpu for _, cpu in rates)),
                    "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        data.forget_tables()
    document = {
        "simulated": True,
        "machine": {"processor": platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "settings": vars(given) | {"block": BLOCK, "numpy": np.__version__, "plays": len(data.tracks)},
        "rows": rows,
    }
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
