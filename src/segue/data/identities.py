"""One id per track: aliases of tracks within a log.

Some records name a track by its id, others by artist and title alone (years of Spotify without URIs, plays without a
matched recording). If the log has exactly one id for a name, both are one track.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from segue.data.mapping import Mapping
from segue.data.texts import folded_names, texts_of
from segue.data.typed import column_texts

ALIAS: Final = "alias"
"""Another id of a track."""
TRACK: Final = "track"
_DOUBLINGS: Final = 4
"""Chains of up to 2^4 aliases are resolved."""


def names_as_aliases(frame: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return artist and title, folded, as `alias` of each `track` whose records have id, artist and title.

    Both columns are String. A title alone is not an alias: many tracks share one.
    """
    if mapping.track is None or mapping.title is None or mapping.artist is None:
        return pl.DataFrame(schema={ALIAS: pl.String, TRACK: pl.String})
    names = frame.select(mapping.title.value.alias("title"), mapping.artist.value.alias("artist"))
    title, artist = texts_of(names["title"]), texts_of(names["artist"])
    pairs = pl.DataFrame([folded_names(title, artist).alias(ALIAS), column_texts(frame, mapping.track, TRACK)])
    return pairs.filter(artist.is_not_null()).drop_nulls().unique(maintain_order=True)


def track_of_alias(pairs: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the `track` of each `alias` to which `pairs` give exactly one other track, both String.

    A track that is an alias itself is replaced by its track, and so on.
    """
    all_pairs = pl.concat([pl.DataFrame(schema={ALIAS: pl.String, TRACK: pl.String}), *pairs])
    distinct_pairs = all_pairs.filter(pl.col(ALIAS) != pl.col(TRACK)).unique(maintain_order=True)
    track_of = distinct_pairs.filter(pl.len().over(ALIAS) == 1)
    for _ in range(_DOUBLINGS):
        track_of = track_of.with_columns(with_one_id(track_of[TRACK], track_of))
    return track_of


def with_one_id(ids: pl.Series, track_of: pl.DataFrame) -> pl.Series:
    """Return `ids` with every alias replaced by its track in `track_of`."""
    joined = ids.to_frame(ALIAS).join(track_of, on=ALIAS, how="left", maintain_order="left")
    return joined.select(pl.coalesce(TRACK, ALIAS)).to_series().alias(ids.name)
