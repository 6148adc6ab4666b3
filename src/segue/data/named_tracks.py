"""What a log itself says of its tracks: titles, artists, albums, lengths."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from segue.data.event_table import coded_texts
from segue.store.writer import TrackTable

_MOST_ROWS: Final = 1 << 20
"""Rows that wait before those of one track are made one."""


class NamedTracks:
    """The first title, artist, album and length that stand in a log with each track."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._num_rows = 0
        self._most = _MOST_ROWS

    def add(self, tracks: pl.DataFrame) -> None:
        """Take what a block says: `track` (codes), and any of `title`, `artist`, `album`, `length_s`."""
        if tracks.width < 2:
            return
        self._parts.append(tracks)
        self._num_rows += tracks.height
        if self._num_rows > self._most:
            self._parts = [self._first()]
            self._num_rows = self._parts[0].height
            self._most = max(_MOST_ROWS, 2 * self._num_rows)

    def table(self, codes: pl.Series, vocabulary: pl.Series) -> TrackTable:
        """Return it for the tracks of `vocabulary`; `codes`: a column whose dtype has given the codes of tracks."""
        if not self._parts:
            return TrackTable()
        first = self._first()
        texts = coded_texts(first["track"].to_numpy().astype(np.int32), codes).alias("id")
        joined = pl.DataFrame({"id": vocabulary}).join(
            first.with_columns(texts), on="id", how="left", maintain_order="left"
        )

        def names(name: str) -> list[str] | None:
            return joined[name].fill_null("").to_list() if name in joined.columns else None

        lengths = joined["length_s"] if "length_s" in joined.columns else pl.Series([], dtype=pl.Float64)
        known = lengths.null_count() < len(lengths)
        duration = lengths.fill_null(float("nan")).to_numpy().astype(np.float32) if known else None
        return TrackTable(title=names("title"), artist=names("artist"), album=names("album"), duration=duration)

    def _first(self) -> pl.DataFrame:
        whole = pl.concat(self._parts, how="diagonal_relaxed")
        return whole.group_by("track", maintain_order=True).agg(pl.exclude("track").drop_nulls().first())
