"""Jellyfin: the backup of the plugin Playback Reporting."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import amount, column, most_fit, time
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
    """Return why a file is a backup of Playback Reporting, or None: nine fields without a header, of known shapes."""
    if sample.kind != "delimited" or sample.headed or len(sample.columns) != 9 or sample.first.is_empty():
        return None
    return "9 fields of Jellyfin's Playback Reporting" if most_fit(sample.first, _SHAPES) else None


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        time=time(columns, _CREATED),
        track=column(columns, _ITEM),
        title=Column(_title(), _NAME) if _NAME in columns else None,
        artist=Column(_artist(), _NAME) if _NAME in columns else None,
        listener=column(columns, _USER),
        played=amount(columns, _PLAYED),
        left_out=Column(pl.when(pl.col(_TYPE) != "Audio").then(pl.lit("video")), _TYPE) if _TYPE in columns else None,
    )


def _parts() -> tuple[pl.Expr, pl.Expr]:
    """Return what stands before and after the first ' - '; the latter is null where there is none."""
    parts = pl.col(_NAME).str.splitn(" - ", 2).struct
    return parts.field("field_0"), parts.field("field_1")


def _title() -> pl.Expr:
    before, after = _parts()
    return pl.coalesce(after, before).str.strip_suffix(f" ({_UNKNOWN})")


def _artist() -> pl.Expr:
    before, after = _parts()
    return pl.when(after.is_not_null() & (before != _UNKNOWN)).then(before)


SOURCE: Final = Source(
    name="jellyfin",
    title="Jellyfin, Playback Reporting",
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
    mapping=mapping,
    feedback="The time played is stated, the length of the track is not.",
)
