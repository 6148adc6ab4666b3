"""Every source's mapping, on exports in the true format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from segue.data.mapping import Amount, Column, Time
from segue.data.sources import apple_music as apple_music_source
from segue.data.sources import deezer as deezer_source
from segue.data.sources import lastfm as lastfm_source
from segue.data.sources import lastfm_1k as lastfm_1k_source
from segue.data.sources import listenbrainz as listenbrainz_source
from segue.data.sources import spotify as spotify_source
from segue.data.sources import spotify_account as spotify_account_source
from segue.data.sources import tidal as tidal_source
from segue.data.sources import youtube_music as youtube_music_source
from segue.data.sources.source import Sample, Source
from support.exports import (
    apple_music,
    deezer,
    lastfm,
    lastfm_1k,
    listenbrainz,
    plain,
    spotify,
    spotify_account,
    tidal,
    youtube_music,
)
from support.exports.play import Play

_DATES = ("%d %b %Y %H:%M", "%d %b %Y, %H:%M")
_MS_FROM = 10**11
"""Epoch numbers from here on count milliseconds."""


class Export(NamedTuple):
    """A written export and what must come out of it."""

    source: Source
    write: Callable[[Path], Path]
    plays: list[Play]
    left_out: Mapping[str, int]
    repeated: int = 0


EXPORTS = {
    "spotify": Export(spotify_source.SOURCE, spotify.write, spotify.PLAYS, spotify.LEFT_OUT, spotify.REPEATED),
    "spotify-csv": Export(spotify_source.SOURCE, spotify.write_csv, spotify.TABLE_PLAYS, spotify.LEFT_OUT),
    "spotify-parquet": Export(spotify_source.SOURCE, spotify.write_parquet, spotify.TABLE_PLAYS, spotify.LEFT_OUT),
    "spotify-account": Export(spotify_account_source.SOURCE, spotify_account.write, spotify_account.PLAYS, {}),
    "spotify-account-csv": Export(
        spotify_account_source.SOURCE, spotify_account.write_csv, spotify_account.TABLE_PLAYS, {}
    ),
    "lastfm": Export(lastfm_source.SOURCE, lastfm.write, lastfm.PLAYS, lastfm.LEFT_OUT),
    "lastfm-bare": Export(lastfm_source.SOURCE, lastfm.write_bare, lastfm.PLAYS, lastfm.LEFT_OUT),
    "lastfm-pages": Export(lastfm_source.SOURCE, lastfm.write_pages, lastfm.PLAYS, lastfm.PAGE_LEFT_OUT),
    "listenbrainz": Export(listenbrainz_source.SOURCE, listenbrainz.write, listenbrainz.PLAYS, listenbrainz.LEFT_OUT),
    "apple-music": Export(apple_music_source.SOURCE, apple_music.write, apple_music.PLAYS, apple_music.LEFT_OUT),
    "apple-music-2021": Export(
        apple_music_source.SOURCE, apple_music.write_2021, apple_music.PLAYS, apple_music.LEFT_OUT
    ),
    "youtube-music": Export(
        youtube_music_source.SOURCE, youtube_music.write, youtube_music.PLAYS, youtube_music.LEFT_OUT
    ),
    "tidal": Export(tidal_source.SOURCE, tidal.write, tidal.PLAYS, tidal.LEFT_OUT),
    "deezer": Export(deezer_source.SOURCE, deezer.write, deezer.PLAYS, deezer.LEFT_OUT),
    "lastfm-1k": Export(lastfm_1k_source.SOURCE, lastfm_1k.write, lastfm_1k.PLAYS, lastfm_1k.LEFT_OUT),
}
each_export = pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)


def _values(sample: Sample, column: Column | None) -> list[Any]:
    if column is None:
        return [None] * sample.first.height
    return sample.first.select(pl.all(), value_=column.value)["value_"].to_list()


def _at(value: Any) -> float | None:
    """Return the UTC seconds of a stamp: a number of seconds or milliseconds, or a date and time."""
    if value is None or isinstance(value, datetime):
        return value and value.timestamp()
    if value.lstrip("-").isdigit():
        return float(value) / (1000 if float(value) >= _MS_FROM else 1)
    for date in _DATES:
        try:
            return datetime.strptime(value, date).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    stamp = datetime.fromisoformat(value)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _amounts(sample: Sample, amount: Amount | None) -> list[float | None]:
    scale = 1000 if amount and amount.unit == "ms" else 1
    return [None if value is None else float(value) / scale for value in _values(sample, amount)]


def _read(sample: Sample, source: Source) -> tuple[list[Play], list[str]]:
    """Return the plays of a file in its order, and the kinds of what is left out."""
    frame = sample.first
    for change in (source.prepare, source.whole):
        frame = frame if change is None else change(frame)
    sample = replace(sample, columns=tuple(frame.columns), first=frame)
    roles = source.mapping(sample.columns)
    assert isinstance(roles.time, Time)
    at = [_at(value) for value in _values(sample, roles.time)]
    texts = [_values(sample, role) for role in (roles.listener, roles.track, roles.title, roles.artist)]
    amounts = [_amounts(sample, role) for role in (roles.played, roles.length)]
    left_out = _values(sample, roles.left_out)
    plays = [
        Play(*(column[row] for column in texts), int(stamp), roles.time.ends, *(c[row] for c in amounts), told)  # type: ignore[arg-type]
        for row, (stamp, told) in enumerate(zip(at, _values(sample, roles.stated), strict=True))
        if left_out[row] is None
    ]
    return plays[:: -1 if roles.newest_first else 1], [kind for kind in left_out if kind is not None]


def _columns(role_sets: Iterable[Column | None]) -> list[Column]:
    return [role for role in role_sets if role is not None]


@each_export
def test_a_mapping_yields_the_plays_and_counts_the_rest(export: Export, tmp_path: Path) -> None:
    source = export.source
    read = [_read(sample, source) for sample in plain.samples(export.write(tmp_path), source.files)]
    plays = [play for found, _ in read for play in found]
    distinct = list(dict.fromkeys(plays)) if source.repeats else plays
    assert sorted(distinct, key=lambda play: (play.listener or "", play.at)) == export.plays
    assert len(plays) - len(distinct) == export.repeated
    assert Counter(kind for _, kinds in read for kind in kinds) == export.left_out


@each_export
def test_a_source_recognises_its_own_files_and_no_other_source_does(export: Export, tmp_path: Path) -> None:
    samples = plain.samples(export.write(tmp_path), export.source.files)
    assert samples
    for sample in samples:
        claims = {other.source.name for other in EXPORTS.values() if other.source.recognise(sample)}
        assert claims == {export.source.name}, sample.name


@each_export
def test_no_column_of_a_file_is_needed_for_the_mapping_to_evaluate(export: Export, tmp_path: Path) -> None:
    for sample in plain.samples(export.write(tmp_path), export.source.files):
        for missing in [*([name] for name in sample.columns), sample.columns[1:]]:
            frame = sample.first.drop(missing)
            roles = export.source.mapping(tuple(frame.columns))
            given = _columns(role for role in vars(roles).values() if isinstance(role, Column))
            chosen = [*given, *roles.side.values()]
            evaluated = frame.with_columns(role.value.alias(f"role {i}") for i, role in enumerate(chosen))
            assert (evaluated.height, evaluated.width) == (frame.height, frame.width + len(chosen))


@each_export
def test_a_stated_strength_is_a_small_whole_number(export: Export, tmp_path: Path) -> None:
    for sample in plain.samples(export.write(tmp_path), export.source.files):
        told = export.source.mapping(sample.columns).stated
        if told is not None:
            assert sample.first.select(value_=told.value).schema["value_"] == pl.UInt8


@each_export
def test_names_of_users_addresses_places_and_devices_are_not_read(export: Export, tmp_path: Path) -> None:
    private = ("user", "ip_addr", "IP Address", "conn_country", "platform", "Platform", "Device", "city", "latitude")
    for sample in plain.samples(export.write(tmp_path), export.source.files):
        roles = export.source.mapping(sample.columns)
        given = _columns(role for role in vars(roles).values() if isinstance(role, Column))
        read = {name for role in [*given, *roles.side.values()] for name in role.value.meta.root_names()}
        assert not [name for name in read if name.startswith(private)]


@pytest.mark.parametrize("columns", [("user", "track", "timestamp"), ("artist", "album", "track", "time"), ("0", "1")])
def test_no_source_claims_a_plain_table(columns: tuple[str, ...]) -> None:
    frame = pl.DataFrame({name: ["1", "2"] for name in columns})
    sample = Sample("log.csv", "delimited", columns, frame, headed=columns[0] != "0")
    assert not [export.source.name for export in EXPORTS.values() if export.source.recognise(sample)]


@pytest.mark.parametrize(
    ("end", "skipped", "ms", "told"),
    [
        ("trackdone", "true", "0", 0),  # the reason of the end comes first
        ("fwdbtn", "false", "4999", 3),
        ("fwdbtn", None, "5000", 2),
        ("fwdbtn", None, "29999", 2),
        ("fwdbtn", None, "30000", 1),
        ("fwdbtn", None, None, 2),
        ("backbtn", "true", "1000", None),
        ("endplay", "true", "1000", None),
        ("click-row", "true", "1000", None),
        ("unexpected-exit", "true", "1000", None),
        ("switched-to-audio", "true", "1000", None),
        (None, "true", "1000", 3),
        ("", "True", "40000", 1),
        (None, "1.0", "10000", 2),
        (None, "false", "1000", None),
        (None, None, "1000", None),
    ],
)
def test_spotify_states_a_strength_by_the_reason_of_the_end_first(
    end: str | None, skipped: str | None, ms: str | None, told: int | None
) -> None:
    frame = pl.DataFrame(
        {"reason_end": [end], "skipped": [skipped], "ms_played": [ms]},
        schema=dict.fromkeys(("reason_end", "skipped", "ms_played"), pl.String),
    )
    stated = spotify_source.SOURCE.mapping(tuple(frame.columns)).stated
    assert stated is not None
    assert frame.select(stated.value).item() == told
    if end is None:  # files without the column
        bare = frame.drop("reason_end")
        stated = spotify_source.SOURCE.mapping(tuple(bare.columns)).stated
        assert stated is not None
        assert bare.select(stated.value).item() == told
