"""Last.fm-1K: what about a thousand listeners scrobbled until 2009 (Celma 2010)."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Mapping
from segue.data.sources.fields import column, most_fit, time
from segue.data.sources.source import Sample, Source

_USER, _TIME, _ARTIST, _TRACK, _TITLE = "0", "1", "3", "4", "5"
_NUM_COLUMNS: Final = 6
_USER_FORM: Final = r"^user_\d{6}$"
_TIME_FORM: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"


def _recognise(sample: Sample) -> str | None:
    if sample.headed or sample.columns != tuple(str(place) for place in range(_NUM_COLUMNS)):
        return None
    if not most_fit(sample.first, {_USER: _USER_FORM, _TIME: _TIME_FORM}):
        return None
    return f"{_NUM_COLUMNS} columns without a header, users and times spelled as in Last.fm-1K"


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=time(columns, _TIME),
        track=column(columns, _TRACK),
        title=column(columns, _TITLE),
        artist=column(columns, _ARTIST),
        listener=column(columns, _USER),
        newest_first=True,
    )


SOURCE: Final = Source(
    name="lastfm-1k",
    title="Last.fm-1K, listening histories of 992 users",
    where="The page of the Last.fm Dataset 1K (Òscar Celma, Universitat Pompeu Fabra); the file is "
    "userid-timestamp-artid-artname-traid-traname.tsv.",
    licence="For research only, not for commercial use, by leave of Last.fm.",
    notes=(
        "Users are numbers that stand for no name; ages and countries (userid-profile.tsv) are not read.",
        "Each user's plays stand together, the newest first, in UTC.",
        "A track goes by its MusicBrainz id, and where that is missing by title and artist.",
        "A scrobble is a track of which half or four minutes were heard.",
    ),
    files=("*userid-timestamp-*.tsv",),
    recognise=_recognise,
    mapping=_mapping,
    feedback="Not stated: what is there was heard for half or four minutes, and gaps between plays are guesses.",
)
