"""The column of a table for each role: named by the caller, or recognised by its usual name."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, replace
from typing import Any, Final

from segue.columns import SEGUE_LOG
from segue.config import nearest
from segue.errors import InputError

USUAL: Final[AnyMapping[str, tuple[str, ...]]] = {
    "session": ("session", "session_id", "sessionid"),
    "user": ("user", "user_id", "userid", "listener", "listener_id"),
    "track": ("track", "track_id", "trackid", "track_id_clean", "song", "song_id", "item", "item_id", "itemid"),
    "title": ("title", "track_name", "track_title", "song_title"),
    "artist": ("artist", "artist_name"),
    "position": ("position", "session_position"),
    "time": ("time", "timestamp", "at", "played_at", "ts", "started_at", "start_time", "listened_at"),
    "ended": ("ended_at", "end_time", "endtime", "finished_at", "stopped_at"),
    "strength": ("strength",),
    "skipped": ("skipped", "skip"),
    "listened": ("listened", "liked"),
    "ratio": ("played_ratio", "playratio", "ratio"),
    "percent": ("played_ratio_pct", "played_percent", "percent_played"),
    "played": ("played", "ms_played", "played_ms", "msplayed", "seconds_played", "played_s"),
    "duration": ("duration", "duration_ms", "length_ms", "duration_s", "length_s"),
}
"""Usual names of each role, in lower case; the first that the table has counts."""
_FEEDBACK: Final = {"strength", "skipped", "listened", "ratio", "percent", "played", "duration"}
_ORDER: Final = {"position", "time", "ended"}
_RESERVED: Final = frozenset(
    {"tracks", "strength", "offsets", "session_key", "inferred", "at", "tied", "user", "date", "known"}
)


@dataclass(frozen=True)
class TableColumns:
    """The column of a table for each role; roles that are not named are filled by usual names.

    Order within a session is `position`, else the time, else file order. Feedback is `strength`, else `skipped`, else
    `listened`, else the share that was played, else the time played. Without `session`, histories of `user` are cut
    into sessions, which needs times; with both, session ids count per user.
    """

    session: str | None = None
    """Session id; without it sessions are cut from each user's history."""
    user: str | None = None
    """User id; histories of users need times, and are cut by gap and length."""
    track: str | None = None
    """Track id, kept as text."""
    title: str | None = None
    """Title of the track; with the artist it identifies a track without an id."""
    artist: str | None = None
    """Artist of the track."""
    position: str | None = None
    """Order within the session, any numbers; without position and time, file order."""
    time: str | None = None
    """Start of a play: epoch s, ms, us or ns, or text such as 2019-08-23 14:40:33 (UTC without an offset)."""
    ended: str | None = None
    """End of a play, if no column has its start."""
    skipped: str | None = None
    """True, 1 or yes if the track was skipped (strength 3, else 0); empty = unknown."""
    listened: str | None = None
    """The opposite of skipped (listened, liked)."""
    strength: str | None = None
    """Skip strength 0..3 (3 = skipped very early), 255 or empty = unknown."""
    ratio: str | None = None
    """Share of the track that was played, 1 = whole."""
    percent: str | None = None
    """The same in percent."""
    played: str | None = None
    """Time played, in seconds, or in milliseconds if its name contains ms."""
    duration: str | None = None
    """Length of the track, in seconds, or in milliseconds if its name contains ms."""
    side: tuple[str, ...] = ()
    """Further column to keep: numbers, flags, or text of at most 65,535 values; repeat the option."""
    exact_ids: bool = False
    """Take ids literally: NaN and 12.0 are ids, not a missing value and 12. Set for served logs."""

    def resolved(self, file_columns: tuple[str, ...], where: str) -> TableColumns:
        """Return the columns, filled by usual names among `file_columns`; an exactly spelled name comes first.

        Raises:
            InputError: a named column is missing, there is no track, or there is neither session nor user with a time.
        """
        chosen = {role: getattr(self, role) for role in USUAL if getattr(self, role) is not None}
        for role, name in [*chosen.items(), *(("side", name) for name in self.side)]:
            if name not in file_columns:
                columns = ", ".join(file_columns)
                raise InputError(
                    f"{where} has no {role} column {name!r}{nearest(name, file_columns)} (columns: {columns})"
                )
        for name in self.side:
            if name in _RESERVED:
                raise InputError(f"{where}: a side column cannot be called {name!r}; rename it")
        column_of_spelling = {name.lower(): name for name in reversed(file_columns)} | {
            name: name for name in file_columns
        }
        usual_columns = {
            role: next((column_of_spelling[n] for n in USUAL[role] if n in column_of_spelling), None)
            for role in self._open_roles(chosen)
        }
        exact = self.exact_ids or SEGUE_LOG in file_columns
        result = replace(self, **{**usual_columns, **chosen}, exact_ids=exact)
        _check(result, file_columns, where)
        return result

    def _open_roles(self, chosen: AnyMapping[str, Any]) -> list[str]:
        """Return the roles to fill by usual names; naming one of several alternatives excludes the others."""
        open_roles = []
        for role in USUAL:
            rivals = _FEEDBACK if role in _FEEDBACK else _ORDER if role in _ORDER else {role}
            pair = role in ("played", "duration") and ("played" in chosen or "duration" in chosen)
            if role == "session" and "user" in chosen:
                continue
            cut_by_time = role in ("time", "ended") and "user" in chosen and "session" not in chosen
            cut_by_time = cut_by_time and not {"time", "ended"} & chosen.keys()
            if cut_by_time or pair or not rivals & chosen.keys():
                open_roles.append(role)
        return open_roles


def _check(columns: TableColumns, file_columns: tuple[str, ...], where: str) -> None:
    column_list = f"its columns: {', '.join(file_columns)}"
    if columns.track is None and columns.title is None:
        raise InputError(f"{where} has no column that looks like a track; name it with --track-column ({column_list})")
    if columns.session is None and columns.user is None:
        raise InputError(
            f"{where} has neither session nor user; name --session-column or --user-column ({column_list})"
        )
    if columns.session is None and columns.time is None and columns.ended is None:
        raise InputError(f"{where}: histories of users need times; name --time-column ({column_list})")
