"""Titles, artists, albums and lengths that a log gives its tracks."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from segue.data.codes import coded_texts
from segue.store.writer import TrackTable

_MOST_ROWS: Final = 1 << 20
"""Rows after which the rows of each track are merged."""


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
        first = self._first()
        texts = coded_texts(first["track"].to_numpy().astype(np.int32), codes).alias("id")
        joined = pl.DataFrame({"id": vocabulary}).join(
            first.with_columns(texts), on="id", how="left", maintain_order="left"
        )

        def names(name: str) -> list[str] | None:
            return joined[name].fill_null("").to_list() if name in joined.columns else None

        lengths = joined["length_s"] if "length_s" in joined.columns else pl.Series([], dtype=pl.Float64)
        has_lengths = lengths.null_count() < len(lengths)
        duration = lengths.fill_null(float("nan")).to_numpy().astype(np.float32) if has_lengths else None
        return TrackTable(title=names("title"), artist=names("artist"), album=names("album"), duration=duration)

    def _first(self) -> pl.DataFrame:
        whole = pl.concat(self._parts, how="diagonal_relaxed")
        return whole.group_by("track", maintain_order=True).agg(pl.exclude("track").drop_nulls().first())
