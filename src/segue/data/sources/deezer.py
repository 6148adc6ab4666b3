"""Deezer's listening history, a sheet of the workbook that Deezer hands out."""

from __future__ import annotations

from typing import Final

from segue.data.identities import names_as_aliases
from segue.data.mapping import Mapping
from segue.data.sources.fields import amount, claim, column, time
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("Song Title", "Artist", "ISRC", "Album Title", "Listening Time", "Date")
_NEEDED: Final = ("Song Title", "Listening Time", "Date")


def _recognise(sample: Sample) -> str | None:
    if not set(sample.columns).issuperset(_NEEDED):
        return None
    return claim(sample.columns, _COLUMNS, "Deezer's listening history")


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=time(columns, "Date"),
        track=column(columns, "ISRC"),
        title=column(columns, "Song Title"),
        artist=column(columns, "Artist"),
        album=column(columns, "Album Title"),
        played=amount(columns, "Listening Time", "s"),
    )


SOURCE: Final = Source(
    name="deezer",
    title="Deezer, listening history",
    where="Ask for your personal data in the settings of your Deezer account; the sheet 10_listeningHistory of the "
    "workbook holds it.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times have no zone and are read as UTC; Deezer does not say of what, they are read as the start of a play.",
        "A track goes by its ISRC, where that is missing by the one that the log has elsewhere for title and artist, "
        "else by these.",
        "Length of the track is not given.",
        "Addresses and devices are not read.",
    ),
    files=("*deezer*.xlsx",),
    recognise=_recognise,
    mapping=_mapping,
    aliases=names_as_aliases,
    feedback="Not stated; judged by the seconds played.",
)
