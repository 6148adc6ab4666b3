"""Last.fm-1K: scrobbles of about a thousand listeners until 2009 (Celma 2010)."""

from __future__ import annotations

from typing import Final

from segue.data.identities import names_as_aliases
from segue.data.mapping import Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_forms
from segue.data.sources.source import Source

_USER, _TIME, _ARTIST, _TRACK, _TITLE = "0", "1", "3", "4", "5"
_SHAPES: Final = {_USER: r"^user_\d{6}$", _TIME: r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}
_ROLES: Final = Mapping(
    time=Time.of(_TIME),
    track=Column.of(_TRACK),
    title=Column.of(_TITLE),
    artist=Column.of(_ARTIST),
    listener=Column.of(_USER),
    newest_first=True,
)
SOURCE: Final = Source(
    name="lastfm-1k",
    where="The page of the Last.fm Dataset 1K (Òscar Celma, Universitat Pompeu Fabra); the file is "
    "userid-timestamp-artid-artname-traid-traname.tsv.",
    licence="For research only, not for commercial use, by leave of Last.fm.",
    notes=(
        "Users are numbers that stand for no name; ages and countries (userid-profile.tsv) are not read.",
        "Each user's plays stand together, the newest first, in UTC.",
        "A track goes by its MusicBrainz id, where that is missing by the one that the log has elsewhere for title and "
        "artist, else by these.",
        "A scrobble is a track of which half or four minutes were heard.",
    ),
    files=("*userid-timestamp-*.tsv",),
    recognise=by_forms("6 columns without a header, users and times spelled as in Last.fm-1K", (6,), _SHAPES),
    mapping=by_column_names(_ROLES),
    aliases=names_as_aliases,
    feedback="Not stated: what is there was heard for half or four minutes, and gaps between plays are guesses.",
)
