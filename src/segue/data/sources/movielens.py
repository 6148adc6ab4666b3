"""MovieLens and tables of ratings like it: one to five stars."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import column, stated, time
from segue.data.sources.source import Sample, Source

_RATING: Final = "rating"
_NAMES: Final = {
    "listener": ("userid", "user_id", "user", "0"),
    "track": ("movieid", "movie_id", "itemid", "item_id", "item", "track_id", "track", "song_id", "1"),
    _RATING: ("rating", "score", "stars", "2"),
    "time": ("timestamp", "time", "at", "3"),
}
"""Usual names of each role in lower case; numbers are column numbers without a header."""
_HEADLESS: Final = ("u.data", "ratings.dat")
_HEADERS: Final = {
    "MovieLens' ratings": ("userId", "movieId", "rating", "timestamp"),
    "RecBole's ratings": ("user_id", "item_id", "rating", "timestamp"),
}


def recognise(sample: Sample) -> str | None:
    """Return why a file has ratings of MovieLens, or None; without MovieLens' header the file's name counts, too."""
    name = sample.name.rsplit("/", 1)[-1].lower()
    if not sample.headed:
        is_theirs = len(sample.columns) == 4 and name.startswith(_HEADLESS)
        return f"4 columns without a header in {name}, as in MovieLens' ratings" if is_theirs else None
    column_names = [text.partition(":")[0] for text in sample.columns]
    for title, header in _HEADERS.items():
        if set(header) <= set(column_names) and (".inter" in name or title.startswith("MovieLens")):
            return f"4 of 4 columns of {title}"
    return None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns: by usual names, or by number without a header."""
    column_of_name = {name.partition(":")[0].strip().lower(): name for name in columns} | {
        name: name for name in columns
    }
    columns_of_role = {
        role: tuple(column_of_name[name] for name in names if name in column_of_name) for role, names in _NAMES.items()
    }
    rating = column(columns, *columns_of_role[_RATING])
    stars = None if rating is None else _stars(rating)
    return Mapping(
        time=time(columns, *columns_of_role["time"]),
        track=column(columns, *columns_of_role["track"]),
        listener=column(columns, *columns_of_role["listener"]),
        stated=None if stars is None else _stated(stars),
        side={} if stars is None else {_RATING: stars},
    )


def _stars(rating: Column) -> Column:
    """Return the rating as a number; '3,5' is 3.5."""
    text = rating.value.cast(pl.String).str.replace(",", ".", literal=True)
    return Column(text.cast(pl.Float64, strict=False).fill_nan(None), rating.name)


def _stated(stars: Column) -> Column:
    value = stars.value
    strength = pl.when(value <= 1).then(3).when(value <= 2).then(2).when(value <= 3).then(1).when(value > 3).then(0)
    return Column(stated(pl.col(stars.name), strength), stars.name)


SOURCE: Final = Source(
    name="movielens",
    where="grouplens.org/datasets/movielens: u.data, ratings.dat or ratings.csv; or RecBole's .inter files.",
    licence="Research only, under GroupLens' terms; commercial use needs their permission.",
    notes=(
        "Tracks are films.",
        "A time is when a film was rated, and people rate many films in one sitting, so order and gaps say little.",
        "Ratings are half or whole stars from 0.5 to 5; a file that goes beyond them is refused.",
    ),
    files=("u.data", "*/u.data", "ratings.dat", "*/ratings.dat", "ratings.csv", "*/ratings.csv", "*.inter"),
    recognise=recognise,
    mapping=mapping,
    feedback="Stated: up to 1 star is strength 3, up to 2 is 2, up to 3 is 1, more is 0; an empty rating is unknown.",
    scale=(0.5, 5.0),
)
