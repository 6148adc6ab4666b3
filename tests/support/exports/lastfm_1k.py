"""Last.fm-1K: three listeners, the newest play of each first, quotes within titles."""

from __future__ import annotations

from pathlib import Path

from support.exports.play import Play, seconds

_MBID = "3b6e11f0-0000-4000-8000-00000000000"
# User, time, artist, mbid or nothing, title; the oldest first.
_ROWS = [
    ("user_000001", "2009-05-04T23:08:57Z", "The Paper Boats", f"{_MBID}0", "Harbour Lights"),
    ("user_000001", "2009-05-04T23:12:10Z", "Nils Åkesson", "", "Ærø"),
    ("user_000001", "2009-05-04T23:12:10Z", "Kumo", f"{_MBID}1", "夜の電車"),
    ("user_000001", "2009-05-05T06:00:00Z", "Comma, the Band", "", 'She Said "Go"'),
    ("user_000002", "2008-01-01T00:00:00Z", "The Paper Boats", f"{_MBID}0", "Harbour Lights"),
    ("user_001000", "2006-08-13T13:59:20Z", "Mira Vale", "", '"Glass" Stairs'),
    ("user_001000", "2006-08-13T14:03:29Z", "Mira Vale", f"{_MBID}2", "Rope"),
    ("user_001000", "2006-08-13T14:07:00Z", "KUMO ", "", "夜の電車"),  # its id stands with another listener
]

PLAYS = [
    Play(user, mbid or None, title, artist, seconds(at[:-1]), False, None, None, None)
    for user, at, artist, mbid, title in _ROWS
]
LEFT_OUT: dict[str, int] = {}


def write(folder: Path) -> Path:
    """Write the data set, the users' profiles beside it, and return the folder."""
    path = folder / "lastfm-dataset-1K"
    path.mkdir()
    users = list(dict.fromkeys(user for user, *_ in _ROWS))
    lines = [
        "\t".join([user, at, "", artist, mbid, title]) + "\n"
        for listener in users
        for user, at, artist, mbid, title in reversed(_ROWS)
        if user == listener
    ]
    (path / "userid-timestamp-artid-artname-traid-traname.tsv").write_text("".join(lines), encoding="utf-8")
    profiles = "#id\tgender\tage\tcountry\tregistered\n" + "".join(f"{user}\t\t\t\t\n" for user in users)
    (path / "userid-profile.tsv").write_text(profiles, encoding="utf-8")
    return path
