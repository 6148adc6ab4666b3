"""Jellyfin: the backup of the plugin Playback Reporting."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_forms
from segue.data.sources.source import Source

_CREATED, _USER, _ITEM, _TYPE, _NAME, _, _, _, _PLAYED = map(str, range(9))
_SHAPES: Final = {
    _CREATED: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    _USER: "^[0-9a-fA-F-]{32,36}$",
    _ITEM: "^[0-9a-fA-F-]{32,36}$",
    _TYPE: "^[A-Za-z]+$",
    _PLAYED: r"^\d+$",
}
_UNKNOWN: Final = "Not Known"


_PARTS: Final = pl.col(_NAME).str.splitn(" - ", 2).struct
_BEFORE, _AFTER = _PARTS.field("field_0"), _PARTS.field("field_1")
"""The text before and after the first ' - '; the latter is null without one."""
_TITLE: Final = pl.coalesce(_AFTER, _BEFORE).str.strip_suffix(f" ({_UNKNOWN})")
_ARTIST: Final = pl.when(_AFTER.is_not_null() & (_BEFORE != _UNKNOWN)).then(_BEFORE)
_ROLES: Final = Mapping(
    time=Time.of(_CREATED),
    track=Column.of(_ITEM),
    title=Column(_TITLE, _NAME),
    artist=Column(_ARTIST, _NAME),
    listener=Column.of(_USER),
    played=Amount.of(_PLAYED),
    left_out=Column(pl.when(pl.col(_TYPE) != "Audio").then(pl.lit("video")), _TYPE),
)
SOURCE: Final = Source(
    name="jellyfin",
    where="Jellyfin's dashboard, plugin Playback Reporting, Save backup: PlaybackReportingBackup-*.tsv.",
    licence="Yours and your listeners': it is your own server.",
    notes=(
        "A play is written after 20 s and its time is that moment; shorter plays are not in the file.",
        "Times are local to the server and are read as UTC.",
        "A name is 'Artist - Title (Album)'; the album stays in the title, since a title may end in brackets too.",
        "Only items of type Audio are tracks.",
    ),
    files=("PlaybackReportingBackup*.tsv", "*/PlaybackReportingBackup*.tsv"),
    recognise=by_forms("9 fields of Jellyfin's Playback Reporting", (9,), _SHAPES),
    mapping=by_column_names(_ROLES),
    feedback="The time played is stated, the length of the track is not.",
)
