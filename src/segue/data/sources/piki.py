"""Piki: likes and dislikes of songs played one after the other by an app."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import column, first_name, strength_of, time
from segue.data.sources.source import Sample, Source

_LISTENER: Final = ("user_id", "user")
_TRACK: Final = ("song_id", "song")
_LIKED: Final = pl.col("liked").cast(pl.String).str.strip_chars().str.to_lowercase()
_STRENGTHS: Final = {"0": 3, "0.0": 3, "false": 3, "1": 0, "1.0": 0, "true": 0, "2": 0, "2.0": 0}
"""Of `liked`; 2 = superliked."""


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
        stated=Column(strength_of(_LIKED, _STRENGTHS), "liked") if "liked" in columns else None,
    )


SOURCE: Final = Source(
    name="piki",
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
