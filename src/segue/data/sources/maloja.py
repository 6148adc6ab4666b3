"""Maloja: scrobbles of a self-hosted server."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import amount, column, time
from segue.data.sources.source import Sample, Source

_USUAL: Final = ("time", "track.title", "track.artists.0", "track.length", "duration", "origin")
_ARTIST: Final = re.compile(r"track\.artists\.(\d+)")


def recognise(sample: Sample) -> str | None:
    """Return why a file is an export of Maloja, or None."""
    if sample.kind != "json" or not set(_USUAL[:3]).issubset(sample.columns):
        return None
    return f"{sum(name in sample.columns for name in _USUAL)} of {len(_USUAL)} fields of Maloja's scrobbles"


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        time=time(columns, "time", unit="s"),
        title=column(columns, "track.title"),
        artist=_artists(columns),
        album=column(columns, "track.album.albumtitle", "track.album.name", "track.album"),
        length=amount(columns, "track.length"),
        played=amount(columns, "duration"),
    )


def _artists(columns: tuple[str, ...]) -> Column | None:
    """Return all artists of a track in their order, separated by commas."""
    column_of_rank = {int(match[1]): name for name in columns if (match := _ARTIST.fullmatch(name))}
    if not column_of_rank:
        return None
    names = [pl.col(column_of_rank[rank]) for rank in sorted(column_of_rank)]
    text = pl.concat_str(names, separator=", ", ignore_nulls=True)
    return Column(pl.when(text != "").then(text), "track.artists")


SOURCE: Final = Source(
    name="maloja",
    where="Maloja's export: Admin panel, Export, a file maloja_export_*.json.",
    licence="Yours: it is your own listening.",
    notes=(
        "A track may have several artists; all of them make its identity, with the title.",
        "duration is the time played and track.length the length of the track; either may be missing.",
        "Most clients report only what was heard for half its length or 4 minutes, so skips are rare.",
    ),
    files=("maloja*.json", "*/maloja*.json"),
    recognise=recognise,
    mapping=mapping,
    feedback="The time played where a client reports it, else nothing.",
)
