"""Last.fm's scrobbles, in the three usual forms.

A scrobble means that half of a track or four minutes of it were heard, so skips are rare and no feedback is stated.
MusicBrainz ids are not used as the identity: they are missing for some plays of a track, and the form without a header
has none.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import claim, column, flag, most_fit, text, time
from segue.data.sources.source import Sample, Source

_TABLE: Final = ("uts", "utc_time", "artist", "artist_mbid", "album", "album_mbid", "track", "track_mbid")
"""With a header (ghan's exporter)."""
_TABLE_ALWAYS: Final = ("uts", "artist", "track")
_BARE: Final = ("0", "1", "2", "3")
"""Artist, album, track, date: without a header (lastfm-to-csv)."""
_BARE_DATE: Final = r"^\s*\d{1,2} [A-Z][a-z]{2} \d{4},? \d{2}:\d{2}\s*$"
_PAGE: Final = ("name", "artist.#text", "album.#text", "date.uts", "url", "streamable")
"""Pages of the programming interface (user.getRecentTracks)."""
_PAGE_ARTIST: Final = ("artist.#text", "artist.name")
"""The second on pages requested with extended=1."""
_PLAYING: Final = "@attr.nowplaying"


def _recognise(sample: Sample) -> str | None:
    file_columns = set(sample.columns)
    if file_columns.issuperset(_TABLE_ALWAYS) and file_columns & {"utc_time", "track_mbid", "artist_mbid"}:
        return claim(file_columns, _TABLE, "a table of Last.fm scrobbles")
    if "name" in file_columns and file_columns & set(_PAGE_ARTIST) and file_columns & {"date.uts", _PLAYING}:
        return claim(file_columns, _PAGE, "Last.fm's recent tracks")
    if not sample.headed and sample.columns == _BARE and most_fit(sample.first, {"3": _BARE_DATE}):
        return f"{len(_BARE)} columns without a header, the last a date as Last.fm spells it"
    return None


def _mapping(columns: tuple[str, ...]) -> Mapping:
    if set(columns) & {*_PAGE_ARTIST, "date.uts", _PLAYING}:
        return _page(columns)
    title, artist, album, at = ("2", "0", "1", "3") if "0" in columns else ("track", "artist", "album", "uts")
    return Mapping(
        time=time(columns, at, unit="s"),
        title=column(columns, title),
        artist=column(columns, artist),
        album=column(columns, album),
        newest_first=True,
    )


def _page(columns: tuple[str, ...]) -> Mapping:
    is_playing = flag(columns, _PLAYING).fill_null(False) | text(columns, "date.uts").is_null()
    return Mapping(
        time=time(columns, "date.uts", unit="s"),
        title=column(columns, "name"),
        artist=column(columns, *_PAGE_ARTIST),
        album=column(columns, "album.#text"),
        left_out=Column(pl.when(is_playing).then(pl.lit("now-playing")), "date.uts"),
        newest_first=True,
    )


SOURCE: Final = Source(
    name="lastfm",
    where="Last.fm has no export of its own: use one of the exporters that write CSV, or save pages of "
    "user.getRecentTracks as JSON.",
    licence="Personal data of the listener, under the terms of Last.fm.",
    notes=(
        "A scrobble is a track of which half or four minutes were heard.",
        "Times are those at which a play began, in UTC; the form without a header has no seconds.",
        "The newest play comes first.",
        "Plays from devices without a clock stand in 1970.",
        "The track that is playing now has no date and is left out.",
        "Title and artist are the identity, since ids are often missing.",
    ),
    files=("*.csv", "*.json"),
    recognise=_recognise,
    mapping=_mapping,
    feedback="Not stated: what is there was heard for half or four minutes, and gaps between plays are guesses.",
)
