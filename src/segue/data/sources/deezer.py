"""Deezer's listening history, a sheet of the workbook that Deezer sends."""

from __future__ import annotations

from typing import Final

from segue.data.identities import names_as_aliases
from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_columns
from segue.data.sources.source import Source

_COLUMNS: Final = ("Song Title", "Artist", "ISRC", "Album Title", "Listening Time", "Date")
_NEEDED: Final = ("Song Title", "Listening Time", "Date")


_ROLES: Final = Mapping(
    time=Time.of("Date"),
    track=Column.of("ISRC"),
    title=Column.of("Song Title"),
    artist=Column.of("Artist"),
    album=Column.of("Album Title"),
    played=Amount.of("Listening Time"),
)
SOURCE: Final = Source(
    name="deezer",
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
    recognise=by_columns("Deezer's listening history", _COLUMNS, _NEEDED),
    mapping=by_column_names(_ROLES),
    aliases=names_as_aliases,
    feedback="Not stated; judged by the seconds played.",
)
