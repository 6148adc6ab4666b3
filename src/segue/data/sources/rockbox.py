"""Rockbox and other portable players: .scrobbler.log."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_forms, strength_of
from segue.data.sources.source import Sample, Source

_ARTIST, _ALBUM, _TITLE, _, _LENGTH, _RATING, _TIME = map(str, range(7))
_SHAPES: Final = {_LENGTH: r"^\d{1,5}$", _RATING: "^[LS]$", _TIME: r"^\d{9,10}$"}
_TITLE_LINE: Final = "#AUDIOSCROBBLER/"
_UNTAGGED: Final = "<untagged>"
_FAILED: Final = "# FAILED - "
"""Prefix that a player writes before a damaged entry."""


def recognise(sample: Sample) -> str | None:
    """Return why a file is a player's log, or None: by its first line, or by the forms of its fields."""
    if sample.kind != "delimited":
        return None
    if sample.preamble and sample.preamble[0].startswith(_TITLE_LINE):
        return f"the first line is {sample.preamble[0]}"
    return by_forms("7 fields of a player's log, with L and S for listened and skipped", (7, 8), _SHAPES)(sample)


def _tag(name: str) -> Column:
    return Column(pl.when(pl.col(name).str.to_lowercase() != _UNTAGGED).then(pl.col(name)), name)


_ROLES: Final = Mapping(
    time=Time(pl.col(_TIME), _TIME, unit="s"),
    title=_tag(_TITLE),
    artist=_tag(_ARTIST),
    album=_tag(_ALBUM),
    length=Amount.of(_LENGTH),
    stated=Column(strength_of(pl.col(_RATING), {"L": 0, "S": 3}), _RATING),
    left_out=Column(pl.when(pl.col(_ARTIST).str.starts_with(_FAILED)).then(pl.lit("damaged entry")), _ARTIST),
)
SOURCE: Final = Source(
    name="rockbox",
    where="The file .scrobbler.log in the root folder of the player.",
    licence="Yours: it is your own listening.",
    notes=(
        "Times are local where the log says #TZ/UNKNOWN, and UTC where it says #TZ/UTC; both are read as UTC.",
        "A player without a clock writes 0 for every time.",
        "L stands for at least half of a track, S for less; how much less is not known.",
        "MusicBrainz ids are often missing, so artist and title are the identity.",
    ),
    files=("*scrobbler*.log",),
    recognise=recognise,
    mapping=by_column_names(_ROLES),
    feedback="Stated: L (listened) is strength 0, S (skipped) strength 3.",
)
