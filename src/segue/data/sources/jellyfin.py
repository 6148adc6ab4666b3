"""Jellyfin: the backup of the plugin Playback Reporting."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, most_fit
from segue.data.sources.source import Sample, Source

_CREATED, _USER, _ITEM, _TYPE, _NAME, _, _, _, _PLAYED = map(str, range(9))
_SHAPES: Final = {
    _CREATED: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    _USER: "^[0-9a-fA-F-]{32,36}$",
    _ITEM: "^[0-9a-fA-F-]{32,36}$",
    _TYPE: "^[A-Za-z]+$",
    _PLAYED: r"^\d+$",
}
_UNKNOWN: Final = "Not Known"


def recognise(sample: Sample) -> str | None:
    """Return why a file is a backup of Playback Reporting (nine fields of fixed forms, no header), or None."""
    bare = sample.kind == "delimited" and not sample.headed and len(sample.columns) == 9
    return "9 fields of Jellyfin's Playback Reporting" if bare and most_fit(sample.first, _SHAPES) else None


def _parts() -> tuple[pl.Expr, pl.Expr]:
    """Return the text before and after the first ' - '; the latter is null without one."""
    parts = pl.col(_NAME).str.splitn(" - ", 2).struct
    return parts.field("field_0"), parts.field("field_1")


def _title() -> pl.Expr:
    before, after = _parts()
    return pl.coalesce(after, before).str.strip_suffix(f" ({_UNKNOWN})")


def _artist() -> pl.Expr:
    before, after = _parts()
    return pl.when(after.is_not_null() & (before != _UNKNOWN)).then(before)


_ROLES: Final = Mapping(
    time=Time.of(_CREATED),
    track=Column.of(_ITEM),
    title=Column(_title(), _NAME),
    artist=Column(_artist(), _NAME),
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
    recognise=recognise,
    mapping=by_column_names(_ROLES),
    feedback="The time played is stated, the length of the track is not.",
)
