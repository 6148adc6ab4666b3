"""Titles, artists, durations and features of tracks from files, joined to a vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.data.codes import coded_texts
from segue.data.records.member import Member, find_members
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import Rejects
from segue.data.texts import id_texts
from segue.errors import InputError
from segue.store.writer import TEXT_COLUMNS, TrackTable

_ID_NAMES: Final = ("track_id", "trackid", "track", "track_id_clean", "id", "item_id", "song_id", "track_uri")
_SPELLED: Final = {"track_name": columns.TITLE, "artist_name": columns.ARTIST, "album_name": columns.ALBUM}
_MILLISECONDS: Final = ("duration_ms", "length_ms")
_LONGEST_S: Final = 10_000
"""Seconds; durations whose median is longer are milliseconds."""
_MOST_ROWS: Final = 1 << 20
"""Rows of named tracks after which the rows of each track are merged."""
_MODES: Final = {"major": "1", "minor": "0"}
"""MSSD writes the mode of a track as a word."""


@dataclass(frozen=True)
class Joined:
    """A track table, and how much of the vocabulary it covers."""

    table: TrackTable
    num_named: int
    """Tracks of the vocabulary that a file names."""


def join_tracks(files: Sequence[Path], vocabulary: pl.Series) -> Joined:
    """Return the track table of `vocabulary` from `files` of any kind; later files add columns.

    A file has an id column (track_id, track, id, ..., in any letter case) and any of title, artist, album, duration
    (seconds, or milliseconds if its name contains ms) and numeric features. Files with the same header are
    concatenated (`tf_0.csv`, `tf_1.csv`). A track without a row has an empty title and NaN numbers; of several rows
    the first counts.

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
    named = pl.concat([frame["id"] for frames in groups.values() for frame in frames]).n_unique() if groups else 0
    return Joined(_table(joined), named)


@dataclass(frozen=True)
class FreshTracks:
    """Tracks of a file that a vocabulary lacks, ids ascending in byte order, [N]."""

    ids: list[str]
    features: NDArray[np.float32]
    """[N, F], in the order of the requested names; NaN = unknown."""
    texts: dict[str, list[str]]
    num_old: int
    """Tracks of the file that the vocabulary has already."""
    num_without_features: int
    """Tracks left out because the file has none of their features."""
    num_missing_features: int
    """Requested features without a column in the file."""


def new_tracks(file: Path, old_ids: Sequence[str], names: Sequence[str]) -> FreshTracks:
    """Return the tracks of `file` that are not among `old_ids`, with the features `names`.

    Raises:
        InputError: a file without id column, or one that cannot be read.
    """
    whole = _read(file, None)
    ids = whole["id"].unique()
    fresh = ids.filter(~ids.is_in(pl.Series("id", old_ids, dtype=pl.String).implode())).sort()
    table = join_tracks([file], fresh).table
    column_of = dict(zip(table.feature_names, () if table.features is None else table.features.T, strict=True))
    features = np.full((len(fresh), len(names)), np.nan, np.float32)
    for index, name in enumerate(names):
        features[:, index] = column_of.get(name, np.nan)
    has_features = np.asarray(np.isfinite(features).any(axis=1))
    texts = {name: values for name in TEXT_COLUMNS if (values := getattr(table, name)) is not None}
    return FreshTracks(
        ids=fresh.filter(pl.Series(has_features)).to_list(),
        features=features[has_features],
        texts={name: list(compress(values, has_features)) for name, values in texts.items()},
        num_old=len(ids) - len(fresh),
        num_without_features=int((~has_features).sum()),
        num_missing_features=sum(name not in whole.columns for name in names),
    )


def _read(file: Path, vocabulary: pl.Series | None) -> pl.DataFrame:
    """Return the rows of `file` with a track of `vocabulary` (None: all rows), all String, the id column named `id`."""
    return pl.concat([_member(member, vocabulary) for member in find_members([file])], how="diagonal")


def _member(member: Member, vocabulary: pl.Series | None) -> pl.DataFrame:
    sample = sample_of(member)
    spelled = {name.lower(): name for name in reversed(sample.columns)} | {name: name for name in sample.columns}
    key = next((spelled[name] for name in _ID_NAMES if name in spelled), None)
    if key is None:
        seen = ", ".join(sample.columns)
        raise InputError(f"{member.name} has no track id column ({', '.join(_ID_NAMES)}); its columns: {seen}")
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        rejects = Rejects(Path(folder) / "rejects.csv")
        for block in blocks_of(member, sample, (), rejects):
            frame = block.frame.with_columns(id_texts(block.frame[key]).alias("__id__"))
            if vocabulary is not None:
                frame = frame.join(pl.DataFrame({"__id__": vocabulary}), on="__id__", how="semi")
            others = [name for name in frame.columns if name not in (key, "__id__", "id") and name]
            parts.append(frame.select(pl.col("__id__").alias("id"), pl.col(others).cast(pl.String, strict=False)))
        rejects.close()
        if rejects.total:
            raise InputError(
                f"{member.name}: {rejects.total} rows cannot be read; {rejects.examples[0]}; mend the track table"
            )
    return _usual(pl.concat(parts).filter(pl.col("id").is_not_null()))


def _usual(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table with Segue's names of titles, artists and durations (in seconds)."""
    usual_names = {*TEXT_COLUMNS, columns.DURATION, *_SPELLED, *_MILLISECONDS}
    for old in frame.columns:
        new = _SPELLED.get(old.lower(), old.lower())
        if old.lower() in usual_names and new not in frame.columns:
            frame = frame.rename({old: new})
    for name in _MILLISECONDS:
        if name in frame.columns and columns.DURATION not in frame.columns:
            frame = frame.rename({name: columns.DURATION}).with_columns(_seconds(pl.col(columns.DURATION)))
    if columns.DURATION in frame.columns:
        longest = _number(frame[columns.DURATION]).median()
        if isinstance(longest, float) and longest > _LONGEST_S:
            frame = frame.with_columns(_seconds(pl.col(columns.DURATION)))
    return frame


def _seconds(milliseconds: pl.Expr) -> pl.Expr:
    return (milliseconds.cast(pl.Float64, strict=False) / 1000).cast(pl.String)


def _number(values: pl.Series) -> pl.Series:
    """Return text as numbers; 200,5 is 200.5."""
    return values.str.strip_chars().str.replace(r"^(-?\d+),(\d+)$", "$1.$2").cast(pl.Float64, strict=False)


def _table(joined: pl.DataFrame) -> TrackTable:
    numbers = {
        name: _number(joined[name].replace(_MODES))
        for name in joined.columns
        if name not in (*TEXT_COLUMNS, columns.SIMULATED, "id")
    }
    empty = [
        name for name, values in numbers.items() if name != columns.DURATION and values.null_count() == len(values)
    ]
    return _typed_table(joined.with_columns(**numbers).drop(empty))


def _typed_table(joined: pl.DataFrame) -> TrackTable:
    """Return the track table of texts, a duration in seconds, and features."""
    texts = {name: joined[name].fill_null("").to_list() for name in TEXT_COLUMNS if name in joined.columns}
    floats = {
        name: joined[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        for name in joined.columns
        if name not in (*TEXT_COLUMNS, columns.SIMULATED, "id")
    }
    duration = floats.pop(columns.DURATION, None)
    features = np.stack(list(floats.values()), axis=1) if floats else None
    return TrackTable(**texts, duration=duration, features=features, feature_names=tuple(floats))


class NamedTracks:
    """The first title, artist, album and length of each track in a log."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._num_rows = 0
        self._most = _MOST_ROWS

    def add(self, tracks: pl.DataFrame) -> None:
        """Take the columns of a block: `track` (codes), and any of `title`, `artist`, `album`, `length_s`."""
        if tracks.width < 2:
            return
        self._parts.append(tracks)
        self._num_rows += tracks.height
        if self._num_rows > self._most:
            self._parts = [self._first()]
            self._num_rows = self._parts[0].height
            self._most = max(_MOST_ROWS, 2 * self._num_rows)

    def table(self, codes: pl.Series, vocabulary: pl.Series) -> TrackTable:
        """Return the table of the tracks of `vocabulary`; `codes`: a column whose dtype maps track codes to ids."""
        if not self._parts:
            return TrackTable()
        first = self._first().rename({"length_s": columns.DURATION}, strict=False)
        texts = coded_texts(first["track"].to_numpy().astype(np.int32), codes).alias("id")
        joined = pl.DataFrame({"id": vocabulary}).join(
            first.drop("track").with_columns(texts), on="id", how="left", maintain_order="left"
        )
        if columns.DURATION in joined.columns and joined[columns.DURATION].null_count() == joined.height:
            joined = joined.drop(columns.DURATION)
        return _typed_table(joined)

    def _first(self) -> pl.DataFrame:
        whole = pl.concat(self._parts, how="diagonal_relaxed")
        return whole.group_by("track", maintain_order=True).agg(pl.exclude("track").drop_nulls().first())
