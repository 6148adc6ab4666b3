"""Navidrome: the scrobbles in its database."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_columns
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = (
    "scrobbles.user_id",
    "scrobbles.media_file_id",
    "scrobbles.submission_time",
    "media_file.title",
    "media_file.artist",
    "media_file.album",
    "media_file.duration",
)
_QUERY: Final = f"""SELECT {", ".join(f'{name} AS "{name}"' for name in _COLUMNS)}
FROM scrobbles LEFT JOIN media_file ON media_file.id = scrobbles.media_file_id
ORDER BY scrobbles.submission_time, scrobbles.rowid"""


_LISTENER, _TRACK, _AT, _TITLE, _ARTIST, _ALBUM, _LENGTH = _COLUMNS
_ROLES: Final = Mapping(
    time=Time(pl.col(_AT), _AT, unit="s"),
    track=Column.of(_TRACK),
    title=Column.of(_TITLE),
    artist=Column.of(_ARTIST),
    album=Column.of(_ALBUM),
    listener=Column.of(_LISTENER),
    length=Amount.of(_LENGTH),
)


def recognise(sample: Sample) -> str | None:
    """Return why a database is Navidrome's with scrobbles, or None."""
    return by_columns("Navidrome's scrobbles and files", _COLUMNS)(sample) if sample.kind == "sqlite" else None


SOURCE: Final = Source(
    name="navidrome",
    where="The file navidrome.db in the server's data folder, version 0.59 or later; copy it while the server is down.",
    licence="Yours and your listeners': it is your own server.",
    notes=(
        "Only plays that a client submitted are there, mostly those of half a track or 4 minutes, so skips are rare.",
        "How long a play lasted is not kept, only the length of the file.",
    ),
    files=("navidrome*.db", "*/navidrome*.db"),
    recognise=recognise,
    mapping=by_column_names(_ROLES),
    feedback="None is stated; a gap shorter than the track hints at a skip.",
    query=_QUERY,
)
