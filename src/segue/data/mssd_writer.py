"""Writes a simulated log in the layout of the Music Streaming Sessions Dataset."""

from __future__ import annotations

import json
from datetime import date, timedelta
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
TRACKS_PER_FILE: Final = 1_000_000
EPOCH: Final = date(1970, 1, 1)


def write_mssd(log: SimulatedLog, path: Path, *, overwrite: bool = False, progress: Progress = silent) -> None:
    """Write `training_set/`, `track_features/`, `tracks.csv`, `oracle.parquet` and `simulation.json` into `path`.

    One file per day, named log_0_<yyyymmdd>_000000000000.csv, with the 21 official columns. The folder is written
    whole or not at all.

    Raises:
        InputError: `path` exists and may not be replaced.
    """
    with replaced_folder(path, overwrite=overwrite, marker=MARKER) as folder:
        (folder / "training_set").mkdir()
        days, first = np.unique(log.date, return_index=True)
        bounds = [*first.tolist(), len(log.date)]
        truth = []
        for number, day in enumerate(days.tolist()):
            progress(Step("write log", number, len(days), "files"))
            frame = _day(log, bounds[number], bounds[number + 1], EPOCH + timedelta(days=day))
            name = f"log_0_{EPOCH + timedelta(days=day):%Y%m%d}_000000000000.csv"
            frame.select(columns.MSSD_LOG).write_csv(folder / "training_set" / name)
            truth.append(frame.select("session_id", "session_position", "p_listen", "p_listen_common"))
        pl.concat(truth).write_parquet(folder / "oracle.parquet")
        _write_tracks(log, folder)
        (folder / MARKER).write_text(json.dumps({"schema_version": 1, **log.summary}, indent=1) + "\n", "utf-8")
        progress(Step("write log", len(days), len(days), "files"))


def _day(log: SimulatedLog, first: int, last: int, day: date) -> pl.DataFrame:
    """Return the rows of sessions first..last - 1, with the oracle's columns last."""
    rows = slice(int(log.offsets[first]), int(log.offsets[last]))
    lengths = np.diff(log.offsets[first : last + 1])
    position = np.arange(rows.stop - rows.start) - np.repeat(log.offsets[first:last] - rows.start, lengths)
    strength, has_feedback = log.strength[rows], log.strength[rows] <= 3
    names = pl.Series(list(log.context_names))
    return pl.DataFrame(
        {
            "session_id": _text(np.repeat(log.session_ids[first:last], lengths)),
            "session_position": position + 1,
            "session_length": np.repeat(lengths, lengths),
            "track_id_clean": _text(log.track_ids[log.track[rows]]),
            "skip_1": has_feedback & (strength >= 3),
            "skip_2": has_feedback & (strength >= 2),
            "skip_3": has_feedback & (strength >= 1),
            "not_skipped": strength == 0,
            **log.behaviour(first, last),
            "hist_user_behavior_is_shuffle": log.event[columns.SHUFFLE][rows],
            "hour_of_day": log.event[columns.HOUR][rows],
            "date": np.full(len(strength), day.isoformat()),
            "premium": log.event[columns.PREMIUM][rows],
            "context_type": names.gather(log.event[columns.CONTEXT_TYPE][rows].astype(np.uint32)),
            "p_listen": log.event[columns.ORACLE_P_LISTEN][rows],
            "p_listen_common": log.event[columns.ORACLE_P_LISTEN_COMMON][rows],
        }
    )


def _write_tracks(log: SimulatedLog, folder: Path) -> None:
    """Write the features and the titles of the whole catalogue."""
    (folder / "track_features").mkdir()
    catalogue, everything = log.catalogue, np.arange(len(log.track_ids))
    names = (*columns.MSSD_DESCRIPTORS, *columns.MSSD_ACOUSTIC)
    features = {
        "track_id": _text(log.track_ids),
        "duration": catalogue.duration,
        "release_year": catalogue.year,
        "us_popularity_estimate": 90.0 + 10.0 * np.argsort(np.argsort(catalogue.weight)) / len(everything),
        **dict(zip(names, catalogue.features.T, strict=True)),
    }
    frame = pl.DataFrame(features).select(columns.MSSD_FEATURES)
    for number, part in enumerate(frame.iter_slices(TRACKS_PER_FILE)):
        part.write_csv(folder / "track_features" / f"tf_{number:06d}.csv")
    texts = {columns.TITLE: log.titles(everything), columns.ARTIST: log.artists(everything)}
    table = {"track_id": features["track_id"], **texts, columns.SIMULATED: np.ones(len(everything), np.bool_)}
    pl.DataFrame(table).write_csv(folder / "tracks.csv")


def _text(ids: NDArray[Any]) -> pl.Series:
    return pl.Series(ids.astype(f"U{ids.dtype.itemsize}"))
