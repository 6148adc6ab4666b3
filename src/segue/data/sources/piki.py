"""Piki: likes and dislikes of songs that an app played one after the other."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import column, first_name, stated, time
from segue.data.sources.source import Sample, Source

_LISTENER: Final = ("user_id", "user")
_TRACK: Final = ("song_id", "song")
_LIKED: Final = ("1", "1.0", "2", "2.0", "true")
"""2 = superliked."""
_DISLIKED: Final = ("0", "0.0", "false")


def recognise(sample: Sample) -> str | None:
    """Return why a file is Piki's table of likes, or None."""
    roles = (("timestamp",), _LISTENER, _TRACK, ("liked",))
    complete = all(first_name(sample.columns, *names) for names in roles)
    return "4 of 4 columns of Piki's likes" if complete else None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        time=time(columns, "timestamp"),
        track=column(columns, *_TRACK),
        listener=column(columns, *_LISTENER),
        told=_told() if "liked" in columns else None,
    )


def _told() -> Column:
    liked = pl.col("liked").cast(pl.String).str.strip_chars().str.to_lowercase()
    strength = pl.when(liked.is_in(_LIKED)).then(0).when(liked.is_in(_DISLIKED)).then(3)
    return Column(stated(liked, strength), "liked")


SOURCE: Final = Source(
    name="piki",
    title="Piki, likes and dislikes",
    where="GitHub, sstoikov/piki-music-dataset: data/piki_dataset.csv.",
    licence="MIT, as its repository states; its authors ask for a citation.",
    notes=(
        "liked is 0, 1 or 2 (liked and saved to a playlist), or false and true.",
        "A dislike can be given after 3 s and a like after 6 s, so neither says how long a song was heard.",
        "Times have no zone and are read as UTC.",
    ),
    files=("*piki*.csv",),
    recognise=recognise,
    mapping=mapping,
    feedback="Stated: a like is strength 0, a dislike strength 3, an empty field unknown.",
)
