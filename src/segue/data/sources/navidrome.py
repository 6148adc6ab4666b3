"""Navidrome: the scrobbles in its database."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Mapping
from segue.data.sources.fields import amount, column, time
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


def recognise(sample: Sample) -> str | None:
    """Return why a database is Navidrome's with scrobbles in it, or None."""
    seen = sum(name in sample.columns for name in _COLUMNS)
    complete = sample.kind == "sqlite" and seen == len(_COLUMNS)
    return f"{seen} of {len(_COLUMNS)} columns of Navidrome's scrobbles and files" if complete else None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    listener, track, at, title, artist, album, length = _COLUMNS
    return Mapping(
        time=time(columns, at, unit="s"),
        track=column(columns, track),
        title=column(columns, title),
        artist=column(columns, artist),
        album=column(columns, album),
        listener=column(columns, listener),
        length=amount(columns, length),
    )


SOURCE: Final = Source(
    name="navidrome",
    title="Navidrome, scrobbles of a self-hosted server",
    where="The file navidrome.db in the server's data folder, version 0.59 or later; copy it while the server is down.",
    licence="Yours and your listeners': it is your own server.",
    notes=(
        "Only plays that a client submitted are there, mostly those of half a track or 4 minutes, so skips are rare.",
        "How long a play lasted is not kept, only the length of the file.",
    ),
    files=("navidrome*.db", "*/navidrome*.db"),
    recognise=recognise,
    mapping=mapping,
    feedback="None is stated; a gap shorter than the track hints at a skip.",
    query=_QUERY,
)
