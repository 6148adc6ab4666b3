"""Sources of published data sets and of players' own logs: files as they are, and the plays they must give."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from segue import columns
from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources import (
    jellyfin,
    kkbox,
    lfm_2b,
    maloja,
    movielens,
    mssd,
    navidrome,
    piki,
    rockbox,
    thirty_music,
    yambda,
)
from segue.data.sources.source import Sample, Source
from support.exports import jellyfin as jellyfin_files
from support.exports import kkbox as kkbox_files
from support.exports import lfm_2b as lfm_2b_files
from support.exports import maloja as maloja_files
from support.exports import movielens as movielens_files
from support.exports import mssd as mssd_files
from support.exports import navidrome as navidrome_files
from support.exports import piki as piki_files
from support.exports import rockbox as rockbox_files
from support.exports import thirty_music as thirty_music_files
from support.exports import yambda as yambda_files
from support.exports.play import Play

SOURCES: Final = {
    "jellyfin": (jellyfin.SOURCE, jellyfin_files),
    "kkbox": (kkbox.SOURCE, kkbox_files),
    "lfm-2b": (lfm_2b.SOURCE, lfm_2b_files),
    "maloja": (maloja.SOURCE, maloja_files),
    "movielens": (movielens.SOURCE, movielens_files),
    "mssd": (mssd.SOURCE, mssd_files),
    "navidrome": (navidrome.SOURCE, navidrome_files),
    "piki": (piki.SOURCE, piki_files),
    "rockbox": (rockbox.SOURCE, rockbox_files),
    "30music": (thirty_music.SOURCE, thirty_music_files),
    "yambda": (yambda.SOURCE, yambda_files),
}
FORMS: Final = [
    pytest.param(source, *form, id=f"{name}-{kind}")
    for name, (source, files) in SOURCES.items()
    for kind, form in files.FORMS.items()
]


@pytest.mark.parametrize(("source", "write", "plays", "left_out"), FORMS)
def test_a_file_gives_its_plays_and_leaves_out_what_is_no_track(
    source: Source, write: Any, plays: list[Play], left_out: dict[str, int], tmp_path: Path
) -> None:
    frame = _prepared(source, write(tmp_path))
    mapping = source.mapping(tuple(frame.columns))
    out = _values(frame, mapping.left_out, str)
    given = [] if source.refused else _plays(frame, mapping, out)
    assert _by_listener(given) == _by_listener(plays)
    assert {kind: out.count(kind) for kind in set(out) - {None}} == left_out


@pytest.mark.parametrize(("source", "write", "plays", "left_out"), FORMS)
def test_a_file_is_recognised_by_its_source_alone(
    source: Source, write: Any, plays: list[Play], left_out: dict[str, int], tmp_path: Path
) -> None:
    sample = _sample(source, write(tmp_path))
    claims = {name: reason for name, (other, _) in SOURCES.items() if (reason := other.recognise(sample))}
    assert list(claims) == [source.name]


@pytest.mark.parametrize(("source", "write", "plays", "left_out"), FORMS)
def test_a_file_is_read_in_a_folder_wherever_it_stands(
    source: Source, write: Any, plays: list[Play], left_out: dict[str, int], tmp_path: Path
) -> None:
    name = write(tmp_path).name.lower()
    for member in (name, f"my export/{name}"):
        assert any(fnmatchcase(member, pattern.lower()) for pattern in source.files)


@pytest.mark.parametrize(("source", "write", "plays", "left_out"), FORMS)
def test_a_missing_column_is_a_missing_role(
    source: Source, write: Any, plays: list[Play], left_out: dict[str, int], tmp_path: Path
) -> None:
    frame = _prepared(source, write(tmp_path))
    for name in frame.columns:
        less = frame.drop(name)
        mapping = source.mapping(tuple(less.columns))
        for role in _roles(mapping):
            assert less.select(role.value).height == less.height


@pytest.mark.parametrize(("source", "write", "plays", "left_out"), FORMS)
def test_preparing_keeps_the_number_of_each_record(
    source: Source, write: Any, plays: list[Play], left_out: dict[str, int], tmp_path: Path
) -> None:
    frame = _frame(source, write(tmp_path)).with_row_index("record")
    prepared = source.prepare(frame) if source.prepare else frame
    assert prepared["record"].is_sorted()
    assert set(prepared["record"]) <= set(frame["record"])


@pytest.mark.parametrize(
    "header", ["user,track,timestamp", "user_id,track_id,timestamp", "user,item,rating,timestamp", "title,artist,ts"]
)
@pytest.mark.parametrize("headed", [True, False])
def test_a_plain_table_is_of_no_source(header: str, headed: bool) -> None:
    names = header.split(",") if headed else [str(i) for i in range(header.count(",") + 1)]
    cells = dict(zip(header.split(","), ("ada", "song", "4", "1700000000")[: len(names)], strict=True))
    frame = pl.DataFrame({name: [cell] for name, cell in zip(names, cells.values(), strict=True)})
    sample = Sample("log.csv", "delimited", tuple(names), frame, headed)
    assert not [source.name for source, _ in SOURCES.values() if source.recognise(sample)]


@pytest.mark.parametrize("source", [source for source, _ in SOURCES.values()], ids=list(SOURCES))
def test_a_source_says_where_its_files_come_from_and_what_may_be_done_with_them(source: Source) -> None:
    sentences = (source.where, source.licence, source.feedback, *source.notes)
    assert all(sentence.endswith(".") for sentence in sentences)
    assert source.files


@pytest.mark.parametrize(
    ("text", "strength"), [*movielens_files.HALF_STARS.items(), ("3,5", 0), ("2,5", 1), ("nan", None)]
)
def test_half_a_star_counts_to_the_next_whole_one_and_no_rating_says_nothing(text: str, strength: int | None) -> None:
    frame = pl.DataFrame({"user": ["u"], "item": ["i"], "rating": [text or None], "timestamp": ["1"]})
    mapping = movielens.SOURCE.mapping(tuple(frame.columns))
    assert _values(frame, mapping.stated) == [strength]


@pytest.mark.parametrize("ratings", [["0", "1"], ["0.2", "1"], ["2", "10"], ["20", "100"], ["0", "5"]])
def test_other_scales_show_in_the_side_column_rating(ratings: list[str]) -> None:
    frame = pl.DataFrame({"user": ["u", "v"], "item": ["i", "j"], "Rating": ratings, "timestamp": ["1", "2"]})
    seen = _values(frame, movielens.SOURCE.mapping(tuple(frame.columns)).side["rating"])
    low, high = movielens.SOURCE.scale or (0, 0)
    assert min(seen) < low or max(seen) > high


@pytest.mark.parametrize("write", [mssd_files.write, mssd_files.write_as_pandas])
def test_days_and_flags_of_a_session_are_read_in_both_spellings(write: Any, tmp_path: Path) -> None:
    frame = _frame(mssd.SOURCE, write(tmp_path))
    side = {name: _values(frame, role)[0] for name, role in mssd.SOURCE.mapping(tuple(frame.columns)).side.items()}
    assert side == {
        columns.CONTEXT_TYPE: "radio",
        columns.SHUFFLE: True,
        columns.HOUR: 16,
        columns.PREMIUM: False,
        columns.DATE: date(2018, 7, 15),
    }


@pytest.mark.parametrize(
    "text", ["", "{}", '{"numtracks":1} {"subjects":', '{"numtracks":1} {"objects":[{"id":1,"playstart":"x"}]}']
)
def test_a_session_whose_json_is_broken_is_one_empty_row_among_sound_ones(text: str, tmp_path: Path) -> None:
    frame = _frame(thirty_music.SOURCE, thirty_music_files.write(tmp_path)).with_row_index("record")
    broken = frame.head(1).with_columns(pl.lit(text or None).alias("3"), pl.lit(99).cast(pl.UInt32).alias("record"))
    events = thirty_music.prepare(pl.concat([frame.head(2), broken, frame.tail(2)]))
    assert events.filter(pl.col("record") == 99)["track_id"].to_list() == [None]
    assert events.filter(pl.col("record") != 99).equals(thirty_music.prepare(frame))


# --- a plain reader: records of any of these files, as blocks have them -----------------------------------


def _prepared(source: Source, path: Path) -> pl.DataFrame:
    frame = _frame(source, path)
    return source.prepare(frame) if source.prepare else frame


def _frame(source: Source, path: Path) -> pl.DataFrame:
    match path.suffix:
        case ".parquet":
            return pl.read_parquet(path)
        case ".json":
            return _json_frame(path)
        case ".db":
            return _sqlite_frame(path, source.query or "")
    return _text_frame(path)[0]


def _sample(source: Source, path: Path) -> Sample:
    match path.suffix:
        case ".parquet" | ".json":
            frame = _frame(source, path)
            kind: Any = path.suffix.removeprefix(".")
            return Sample(path.name, kind, tuple(frame.columns), frame.head(100))
        case ".db":
            return _sqlite_sample(path)
    frame, headed, preamble = _text_frame(path)
    return Sample(path.name, "delimited", tuple(frame.columns), frame.head(100), headed, preamble)


def _json_frame(path: Path) -> pl.DataFrame:
    records = [_flat(record) for record in json.loads(path.read_text(encoding="utf-8"))["scrobbles"]]
    names = dict.fromkeys(name for record in records for name in record)
    return pl.DataFrame({name: [record.get(name) for record in records] for name in names}, dict.fromkeys(names, str))


def _flat(value: Any, path: str = "") -> dict[str, str | None]:
    if not isinstance(value, dict | list):
        return {path: value if value is None or isinstance(value, str) else json.dumps(value)}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for name, inner in pairs for k, v in _flat(inner, f"{path}.{name}".lstrip(".")).items()}


def _sqlite_frame(path: Path, query: str) -> pl.DataFrame:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(query)
        return pl.DataFrame(rows.fetchall(), [name for name, *_ in rows.description], orient="row")


def _sqlite_sample(path: Path) -> Sample:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names = [f"{table}.{row[1]}" for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    return Sample(path.name, "sqlite", tuple(names), pl.DataFrame())


def _text_frame(path: Path) -> tuple[pl.DataFrame, bool, tuple[str, ...]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    preamble = tuple(line for line in lines[:9] if line.startswith("#"))
    rows = _cells(lines[len(preamble) :])
    headed = not any(cell.replace(".", "").isdigit() for cell in rows[0])
    names = rows.pop(0) if headed else [str(i) for i in range(max(map(len, rows)))]
    cells = {name: [row[i] or None if i < len(row) else None for row in rows] for i, name in enumerate(names)}
    return pl.DataFrame(cells, dict.fromkeys(names, str)), headed, preamble


def _cells(lines: list[str]) -> list[list[str]]:
    separator = next(text for text in ("::", "\t", ",") if text in lines[0])
    return list(csv.reader(lines)) if separator == "," else [line.split(separator) for line in lines]


# --- plays of a frame under a mapping ---------------------------------------------------------------------


def _plays(frame: pl.DataFrame, mapping: Mapping, out: list[Any]) -> list[Play]:
    fields = {
        "listener": _values(frame, mapping.listener, str),
        "track": _values(frame, mapping.track, str),
        "title": _values(frame, mapping.title, str),
        "artist": _values(frame, mapping.artist, str),
        "at": [_stamp(value, mapping.time) for value in _values(frame, mapping.time)],
        "ends": [mapping.time is not None and mapping.time.ends] * frame.height,
        "played_s": _seconds(frame, mapping.played),
        "length_s": _seconds(frame, mapping.length),
        "told": _values(frame, mapping.stated, int),
        "session": _values(frame, mapping.session, str),
        "share": [value and round(value, 9) for value in _seconds(frame, mapping.share)],
    }
    plays = [Play(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]
    position = _values(frame, mapping.position, int)
    order = sorted(range(frame.height), key=lambda row: (plays[row].at or 0, position[row] or 0))
    return [plays[row] for row in order if out[row] is None and (plays[row].track or plays[row].title)]


def _values(frame: pl.DataFrame, role: Column | None, kind: Any = None) -> list[Any]:
    if role is None:
        return [None] * frame.height
    return [value if value is None or kind is None else kind(value) for value in frame.select(role.value).to_series()]


def _seconds(frame: pl.DataFrame, role: Column | None) -> list[float | None]:
    scale = {"ms": 1000, "percent": 100}.get(role.unit, 1) if isinstance(role, Amount) else 1
    return [None if value is None else value / scale for value in _values(frame, role, float)]


def _stamp(value: Any, role: Time | None) -> int | None:
    if value is None or role is None:
        return None
    try:
        return int(float(value))
    except ValueError:
        return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp())


def _roles(mapping: Mapping) -> Iterable[Column]:
    return [role for role in (*vars(mapping).values(), *mapping.side.values()) if isinstance(role, Column)]


def _by_listener(plays: Iterable[Play]) -> dict[tuple[str | None, str | None], list[Play]]:
    lists = defaultdict(list)
    for play in plays:
        lists[play.listener, play.session].append(play)
    return dict(lists)
