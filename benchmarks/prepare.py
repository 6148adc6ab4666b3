"""Rate of `prepare mssd` or `prepare table` against bare Polars and pandas, as ratios taken in one run.

    python benchmarks/prepare.py LOG_FOLDER [--table] [--single] [--times N] [--shuffled] [--beside] [--pandas]

The log comes from `segue simulate` (300,000 sessions make 5 M rows). The bare baseline reads the same files twice: once
for the distinct tracks, once for the columns that a store holds, as text, with nothing checked, sorted or written.
`--table` names session, position, track and a skip flag of the same files, and its baseline reads these four. `--times`
repeats the rows, sessions renamed.
Ours and the baseline take turns, medians are compared; CPU seconds stand beside the wall's, for a shared machine.
Peak memory is that of a process of its own which only prepares. `--beside` keeps the track tables and the oracle of a
simulated log, which are joined then and which the baseline never reads.
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
from typing import Any

import numpy as np
import polars as pl

from segue.data.sources.table_columns import TableColumns
from segue.verbs.prepare import PrepareOptions, prepare

TABLE = TableColumns(session="session_id", position="session_position", track="track_id_clean", skipped="skip_2")
SCANNED_TABLE = ("session_id", "session_position", "track_id_clean", "skip_2")
SCANNED = (
    *("session_id", "session_position", "track_id_clean", "skip_1", "skip_2", "skip_3", "not_skipped"),
    *("hist_user_behavior_is_shuffle", "hour_of_day", "date", "premium", "context_type"),
)


def find_logs(folder: Path) -> list[Path]:
    """Return the log files of a folder in MSSD's layout."""
    return sorted((folder / "training_set").glob("log_*.csv"))


def bare_polars(files: list[Path], *, table: bool) -> int:
    """Return the rows of a bare vocabulary pass and scan."""
    scanned = SCANNED_TABLE if table else SCANNED
    scan = pl.scan_csv(files, infer_schema=False, quote_char=None)
    scan.select(pl.col("track_id_clean").unique()).collect(engine="streaming")
    counts = [pl.col(name).len().alias(name) for name in scanned[:1]]
    lengths = [pl.col(name).str.len_bytes().sum().alias(name) for name in scanned[1:]]
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


def ours(folder: Path, *, table: bool) -> int:
    """Return the rows prepared."""
    with tempfile.TemporaryDirectory() as scratch:
        if table:
            return prepare(
                find_logs(folder), Path(scratch) / "store", PrepareOptions(source="table", columns=TABLE)
            ).rows
        return prepare(folder, Path(scratch) / "store", PrepareOptions(source="mssd")).rows


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Return the wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def copied(log: Path, folder: Path, *, single: bool, shuffled: bool, times: int) -> None:
    """Write the rows of `log` into `folder` alone, in one file and in random order (within a file) where asked."""
    (folder / "training_set").mkdir()
    if single and not shuffled:
        laid_end_to_end(find_logs(log), folder / "training_set" / find_logs(log)[0].name, times)
        return
    files = [file.read_bytes().splitlines(keepends=True) for file in find_logs(log)]
    names = [file.name for file in find_logs(log)]
    if single:
        files = [[files[0][0], *(line for lines in files for line in lines[1:])]]
    for place, (name, lines) in enumerate(zip(names, files, strict=False)):
        order = np.arange(1, len(lines))
        if shuffled:
            order = np.random.default_rng(place).permutation(order)
        text = b"".join([lines[0], *(lines[i] for i in order.tolist())])
        (folder / "training_set" / name).write_bytes(text)


def laid_end_to_end(files: list[Path], out: Path, times: int) -> None:
    """Write the rows of `files` into one file, under the first one's header; again with other sessions, so often."""
    with out.open("wb") as target:
        for number in range(times):
            for place, file in enumerate(files):
                with file.open("rb") as source:
                    header = source.readline()
                    target.write(header if number == place == 0 else b"")
                    while block := source.readlines(1 << 22):
                        target.write(
                            b"".join(b"%d%s" % (number, line) for line in block) if number else b"".join(block)
                        )


def copied_apart(log: Path, folder: Path, single: bool, shuffled: bool, times: int) -> None:
    """Call `copied`; run in a process of its own, whose memory nothing measured here inherits."""
    copied(log, folder, single=single, shuffled=shuffled, times=times)


def peak_of_ours(folder: Path, table: bool) -> float:
    """Return the peak resident memory in GB of this process after preparing."""
    ours(folder, table=table)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def compared(folder: Path, repeats: int, *, table: bool, pandas: bool) -> dict[str, Any]:
    """Return rates and memory of one log."""
    files = find_logs(folder)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(peak_of_ours, (folder, table))
    pairs = [
        (timed(lambda: ours(folder, table=table)), timed(lambda: bare_polars(files, table=table)))
        for _ in range(repeats)
    ]
    mine, bare = zip(*pairs, strict=True)
    wall, bare_wall = (statistics.median(wall for wall, _ in times) for times in (mine, bare))
    cpu, bare_cpu = (statistics.median(cpu for _, cpu in times) for times in (mine, bare))
    result: dict[str, Any] = {
        "verb": "table" if table else "mssd",
        "rows": ours(folder, table=table),
        "files": len(files),
        "prepare_s": [round(wall, 2) for wall, _ in mine],
        "bare_polars_s": [round(wall, 2) for wall, _ in bare],
        "rate_of_bare_polars": round(bare_wall / wall, 3),
        "rate_of_bare_polars_by_pair": round(
            statistics.median(b / m for (m, _), (b, _) in zip(mine, bare, strict=True)), 3
        ),
        "rate_of_bare_polars_by_cpu": round(bare_cpu / cpu, 3),
        "peak_gb": round(peak, 3),
    }
    if pandas:
        slow, _ = timed(lambda: pandas_group_by(files))
        result |= {"pandas_s": round(slow, 2), "times_pandas": round(slow / wall, 2)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true", help="prepare it as a table of four columns")
    parser.add_argument("--times", type=int, default=1, help="with --single: how often the rows are repeated")
    parser.add_argument("--single", action="store_true", help="lay all files end to end first")
    parser.add_argument("--shuffled", action="store_true", help="shuffle the rows of each file first")
    parser.add_argument("--beside", action="store_true", help="join what stands beside the log, too")
    parser.add_argument("--pandas", action="store_true", help="time a pandas group-by too")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.beside:
        result = compared(arguments.folder, arguments.repeats, table=arguments.table, pandas=arguments.pandas)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                how = (arguments.single, arguments.shuffled, arguments.times)
                pool.apply(copied_apart, (arguments.folder, Path(scratch), *how))
            result = compared(Path(scratch), arguments.repeats, table=arguments.table, pandas=arguments.pandas)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
