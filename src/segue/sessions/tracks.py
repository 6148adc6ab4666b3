"""What is known of each track, joined to the vocabulary: titles, artists, durations, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.errors import InputError
from segue.store.writer import TrackTable

_ID_NAMES: Final = ("track_id", "track", "track_id_clean", "id", "item_id", "song_id")
_NO_FEATURES: Final = frozenset({columns.TITLE, columns.ARTIST, columns.DURATION, columns.SIMULATED})
_MODES: Final = {"major": "1", "minor": "0"}
"""MSSD writes the mode of a track as a word."""


def join_tracks(files: Sequence[Path], vocabulary: pl.Series) -> TrackTable:
    """Return the track table of `vocabulary` from CSV or Parquet `files`, later files adding columns.

    A file has an id column (track_id, track, id, ...) and any of title, artist, duration (seconds) and numeric
    features. Files with the same header are laid end to end (`tf_0.csv`, `tf_1.csv`). A track that no file names has
    an empty title and NaN numbers; of several rows for one track the first counts.

    Raises:
        InputError: a file without id column, or one that cannot be read.
    """
    groups: dict[tuple[str, ...], list[pl.DataFrame]] = {}
    for file in files:
        frame = _read(file, vocabulary)
        groups.setdefault(tuple(frame.columns), []).append(frame)
    joined = pl.DataFrame({"id": vocabulary})
    for frames in groups.values():
        frame = pl.concat(frames).unique("id", keep="first", maintain_order=True)
        fresh = [name for name in frame.columns if name not in joined.columns]
        joined = joined.join(frame.select("id", *fresh), on="id", how="left", maintain_order="left")
    return _table(joined)


@dataclass(frozen=True)
class Found:
    """Tracks of a file that are not known yet, ids ascending in byte order, [N]."""

    ids: list[str]
    features: NDArray[np.float32]
    """[N, F], of the names asked for; NaN where unknown."""
    texts: dict[str, list[str]]
    known: int
    """Tracks of the file that are known already."""
    bare: int
    """Tracks left out, since the file has none of their features."""
    missing: int
    """Features asked for that the file has no column of."""


def new_tracks(file: Path, known: Sequence[str], names: Sequence[str]) -> Found:
    """Return the tracks of CSV or Parquet `file` that are not among `known` ids, with the features `names`.

    Raises:
        InputError: a file without id column, or one that cannot be read.
    """
    held, ids = pl.Series("id", known, dtype=pl.String), _ids(file)
    fresh = ids.filter(~ids.is_in(held.implode())).sort()
    table = join_tracks([file], fresh)
    empty = np.full(len(fresh), np.nan, np.float32)
    columns_of = dict(zip(table.feature_names, table.features.T, strict=True)) if table.features is not None else {}
    features = np.stack([columns_of.get(name, empty) for name in names], axis=1) if names else empty[:, None][:, :0]
    kept = np.asarray(np.isfinite(features).any(axis=1))
    texts = {name: getattr(table, name) for name in (columns.TITLE, columns.ARTIST)}
    return Found(
        ids=fresh.filter(pl.Series(kept)).to_list(),
        features=features[kept],
        texts={
            name: [text for text, stays in zip(values, kept.tolist(), strict=True) if stays]
            for name, values in texts.items()
            if values is not None
        },
        known=len(ids) - len(fresh),
        bare=int((~kept).sum()),
        missing=sum(name not in _names(file) for name in names),
    )


def _ids(file: Path) -> pl.Series:
    """Return the distinct track ids of `file`."""
    lazy, key, _ = _opened(file)
    try:
        return lazy.select(pl.col(key).cast(pl.String).alias("id")).unique().collect()["id"].drop_nulls()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{file} cannot be read as a track table ({error}); mend the file") from error


def _names(file: Path) -> list[str]:
    return _opened(file)[2]


def _opened(file: Path) -> tuple[pl.LazyFrame, str, list[str]]:
    """Return a track table unread, its id column, and the names of all columns."""
    try:
        lazy = pl.scan_parquet(file) if file.suffix == ".parquet" else pl.scan_csv(file, infer_schema=False)
        names = lazy.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file} cannot be read as a track table ({error}); name a CSV or Parquet file") from error
    key = next((name for name in _ID_NAMES if name in names), None)
    if key is None:
        raise InputError(f"{file} has no track id column ({', '.join(_ID_NAMES)}); its columns: {', '.join(names)}")
    return lazy, key, names


def _read(file: Path, vocabulary: pl.Series) -> pl.DataFrame:
    """Return the rows of `file` whose track is in the vocabulary, all String, its id column named `id`."""
    lazy, key, names = _opened(file)
    others = [name for name in names if name not in (key, "id")]
    lazy = lazy.select(pl.col(key).cast(pl.String).alias("id"), pl.col(others).cast(pl.String))
    try:
        return lazy.join(pl.LazyFrame({"id": vocabulary}), on="id", how="semi").collect()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{file} cannot be read as a track table ({error}); mend the file") from error


def _table(joined: pl.DataFrame) -> TrackTable:
    numbers = {
        name: joined[name].replace(_MODES).cast(pl.Float32, strict=False)
        for name in joined.columns
        if name not in (columns.TITLE, columns.ARTIST, columns.SIMULATED, "id")
    }
    names = tuple(n for n, v in numbers.items() if n not in _NO_FEATURES and v.null_count() < len(v))
    features = [numbers[name].fill_null(float("nan")).to_numpy() for name in names]
    duration = numbers.get(columns.DURATION)
    return TrackTable(
        title=joined[columns.TITLE].fill_null("").to_list() if columns.TITLE in joined.columns else None,
        artist=joined[columns.ARTIST].fill_null("").to_list() if columns.ARTIST in joined.columns else None,
        duration=None if duration is None else duration.fill_null(float("nan")).to_numpy(),
        features=np.stack(features, axis=1) if features else None,
        feature_names=names,
    )
