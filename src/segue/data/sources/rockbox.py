"""Rockbox and other portable players: .scrobbler.log."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import amount, most_fit, stated, time
from segue.data.sources.source import Sample, Source

_ARTIST, _ALBUM, _TITLE, _, _LENGTH, _RATING, _TIME = map(str, range(7))
_TITLE_LINE: Final = "#AUDIOSCROBBLER/"
_UNTAGGED: Final = "<untagged>"
_FAILED: Final = "# FAILED - "
"""What a player writes before an entry that it damaged."""


def recognise(sample: Sample) -> str | None:
    """Return why a file is a player's log, or None: by its first line, or by its letters, lengths and times."""
    if sample.kind != "delimited":
        return None
    if sample.preamble and sample.preamble[0].startswith(_TITLE_LINE):
        return f"the first line is {sample.preamble[0]}"
    if sample.headed or len(sample.columns) not in (7, 8) or sample.first.is_empty():
        return None
    wanted = {_LENGTH: r"^\d{1,5}$", _RATING: "^[LS]$", _TIME: r"^\d{9,10}$"}
    fits = most_fit(sample.first, wanted)
    return "7 fields of a player's log, with L and S for listened and skipped" if fits else None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        time=time(columns, _TIME, unit="s"),
        title=_tag(columns, _TITLE),
        artist=_tag(columns, _ARTIST),
        album=_tag(columns, _ALBUM),
        length=amount(columns, _LENGTH),
        told=_told() if _RATING in columns else None,
        left_out=_left_out() if _ARTIST in columns else None,
    )


def _tag(columns: tuple[str, ...], name: str) -> Column | None:
    text = pl.col(name)
    return Column(pl.when(text.str.to_lowercase() != _UNTAGGED).then(text), name) if name in columns else None


def _told() -> Column:
    strength = pl.when(pl.col(_RATING) == "L").then(0).when(pl.col(_RATING) == "S").then(3)
    return Column(stated(pl.col(_RATING), strength), _RATING)


def _left_out() -> Column:
    return Column(pl.when(pl.col(_ARTIST).str.starts_with(_FAILED)).then(pl.lit("damaged entry")), _ARTIST)


SOURCE: Final = Source(
    name="rockbox",
    title="Rockbox and other portable players, .scrobbler.log",
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
    mapping=mapping,
    feedback="Stated: L (listened) is strength 0, S (skipped) strength 3.",
)
