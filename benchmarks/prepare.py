"""Rate of `prepare mssd` against bare Polars and pandas, as ratios taken in one run.

    python benchmarks/prepare.py LOG_FOLDER [--pandas] [--repeats 3]

The log comes from `segue simulate` (300,000 sessions make 5 M rows). The bare baseline reads the same files twice: once
for the distinct tracks, once for the columns that a store holds, as text, with nothing checked, sorted or written.
Peak memory is that of a process of its own which only prepares.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from segue.api.prepare import prepare_mssd
from segue.events.sources.mssd import find_logs

SCANNED = (
    *("session_id", "session_position", "track_id_clean", "skip_1", "skip_2", "skip_3", "not_skipped"),
    *("hist_user_behavior_is_shuffle", "hour_of_day", "date", "premium", "context_type"),
)


def bare_polars(files: list[Path]) -> int:
    """Return the rows of a bare vocabulary pass and scan."""
    scan = pl.scan_csv(files, infer_schema=False, quote_char=None)
    scan.select(pl.col("track_id_clean").unique()).collect(engine="streaming")
    counts = [pl.col(name).len().alias(name) for name in SCANNED[:1]]
    lengths = [pl.col(name).str.len_bytes().sum().alias(name) for name in SCANNED[1:]]
    return int(scan.select(*counts, *lengths).collect(engine="streaming").item(0, 0))


def pandas_group_by(files: list[Path]) -> int:
    """Return the sessions of a pandas group-by into lists, file by file."""
    import pandas as pd

    total = 0
    for file in files:
        frame = pd.read_csv(file, dtype=str, usecols=list(SCANNED[:7]))
        frame["session_position"] = frame["session_position"].astype(int)
        ordered = frame.sort_values(["session_id", "session_position"])
        total += len(ordered.groupby("session_id", sort=False)["track_id_clean"].agg(list))
    return total


def ours(folder: Path) -> int:
    """Return the rows prepared."""
    with tempfile.TemporaryDirectory() as scratch:
        return prepare_mssd(folder, Path(scratch) / "store").rows


def timed(work: Callable[[], int], repeats: int) -> list[float]:
    """Return the seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_of_ours(folder: Path) -> float:
    """Return the peak resident memory in GB of this process after preparing."""
    ours(folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pandas", action="store_true", help="time a pandas group-by too")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    folder, files = arguments.folder, find_logs(arguments.folder)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(peak_of_ours, (folder,))
    mine = timed(lambda: ours(folder), arguments.repeats)
    bare = timed(lambda: bare_polars(files), arguments.repeats)
    result = {
        "rows": ours(folder),
        "prepare_s": mine,
        "bare_polars_s": bare,
        "rate_of_bare_polars": statistics.median(bare) / statistics.median(mine),
        "peak_gb": peak,
    }
    if arguments.pandas:
        slow = timed(lambda: pandas_group_by(files), 1)
        result |= {"pandas_s": slow, "times_pandas": slow[0] / statistics.median(mine)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
