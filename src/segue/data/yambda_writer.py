"""Writes a simulated log of listeners in the flat layout of Yambda."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.files import replaced_folder
from segue.progress import Progress, Step, silent
from segue.simulation import SimulatedLog

MARKER: Final = "simulation.json"
END_S: Final = 26_000_000
"""When the last day ends, in seconds from an unknown moment, as in Yambda."""
DAYS: Final = 300
"""Days on which sessions begin."""
ROUNDED_S: Final = 5
"""Times are rounded down to so many seconds."""
PERCENTS: Final[Mapping[int, tuple[int, int]]] = {0: (90, 101), 1: (50, 90), 2: (15, 50), 3: (0, 15), 255: (50, 101)}
"""Percent of a track that was played, by strength; the simulator's unknown strengths were listened to."""
ORGANIC: Final = ("catalog", "user_collection")
"""Context types in which the listener chose the track."""
LIKED, DISLIKED = 0.03, 0.01
"""Shares of the plays to the end that are liked, and of those skipped at once that are disliked."""
_STREAM: Final = 12


def write_yambda(log: SimulatedLog, path: Path, *, overwrite: bool = False, progress: Progress = silent) -> None:
    """Write `listens.parquet`, `likes.parquet`, `dislikes.parquet` and `simulation.json` into `path`, whole or not.

    Columns of listens: uid, timestamp, item_id, is_organic, played_ratio_pct, track_length_seconds; by listener, then
    by time. Sessions begin on DAYS days until END_S, in the order of the log, each at a random second of its first
    hour; a play begins when the one before ends, and those from END_S on are left out. `log` has listeners.

    Raises:
        InputError: `path` exists and may not be replaced.
    """
    assert log.user is not None, "a log with listeners"
    generator = np.random.default_rng([log.summary["seed"], _STREAM])
    progress(Step("write log", 0, 3, "files"))
    plays = _plays(log, generator)
    with replaced_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        plays.drop("strength").write_parquet(folder / "listens.parquet")
        for number, (name, strength, share) in enumerate((("likes", 0, LIKED), ("dislikes", 3, DISLIKED)), 1):
            progress(Step("write log", number, 3, "files"))
            chosen = (plays["strength"] == strength).to_numpy() & (generator.random(len(plays)) < share)
            opinions = plays.filter(pl.Series(chosen)).select("uid", "timestamp", "item_id", "is_organic")
            opinions.write_parquet(folder / f"{name}.parquet")
        (folder / MARKER).write_text(json.dumps({"schema_version": 1, **log.summary}, indent=1) + "\n", "utf-8")
    progress(Step("write log", 3, 3, "files"))


def _plays(log: SimulatedLog, generator: np.random.Generator) -> pl.DataFrame:
    """Return the columns of listens and the strength of each play."""
    lengths = np.diff(log.offsets)
    first, session = log.offsets[:-1], np.repeat(np.arange(len(lengths)), lengths)
    low, high = (np.zeros(256, np.int64) for _ in range(2))
    for strength, (least, bound) in PERCENTS.items():
        low[strength], high[strength] = least, bound
    percent = generator.integers(low[log.strength], high[log.strength])
    seconds = np.rint(log.catalogue.duration[log.track]).astype(np.int64)
    day = np.sort(generator.integers(0, DAYS, len(lengths)))
    begins = END_S + (day - DAYS) * 86_400 + log.event[columns.HOUR][first].astype(np.int64) * 3600
    begins += generator.integers(0, 3600, len(begins))
    heard = np.maximum(seconds * percent // 100, ROUNDED_S)  # no two plays of a session at one time
    before = np.cumsum(heard) - heard
    at = begins[session] + before - before[first][session]
    organic = np.isin(np.array(log.context_names), ORGANIC)[log.event[columns.CONTEXT_TYPE]]
    assert log.user is not None, "a log with listeners"
    values: dict[str, tuple[NDArray[Any], type[pl.DataType]]] = {
        "uid": (log.user[session], pl.UInt32),
        "timestamp": (at // ROUNDED_S * ROUNDED_S, pl.UInt32),
        "item_id": (log.track, pl.UInt32),
        "is_organic": (organic, pl.UInt8),
        "played_ratio_pct": (percent, pl.UInt16),
        "track_length_seconds": (seconds, pl.UInt32),
        "strength": (log.strength, pl.UInt8),
    }
    frame = pl.DataFrame({name: pl.Series(part).cast(kind) for name, (part, kind) in values.items()})
    return frame.filter(pl.col("timestamp") < END_S).sort("uid", "timestamp", maintain_order=True)
