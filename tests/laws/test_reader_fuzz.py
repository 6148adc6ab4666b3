"""Whatever bytes a reader is given, it makes a whole store or says in words, by the file's name, what is wrong."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.exports.every import Original, every_original
from support.lawful import VERBS, prepared
from support.mutated import BYTES, TEXTS, mutated, nonsense

NAMES = ("plays.csv", "watch-history.json", "listens.parquet", "deezer.xlsx", "navidrome.db", "u.data", "log.csv.gz")
MAGIC = (
    b"",
    b"PAR1",
    b"ARROW1",
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\x00",
    b"SQLite format 3\x00",
    b"[",
)
KEYS = (
    "ts",
    "ms_played",
    "track",
    "title",
    "time",
    "listened_at",
    "track_metadata",
    "artists",
    "endTime",
    "0",
    "",
    "a.b",
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TEXTS) | st.text(max_size=20)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def fault_of(original: Original, verb: str) -> str:
    """Return what breaks the law, '' where nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        return prepared(original, verb, Path(folder)).fault


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    original=st.sampled_from(every_original()),
    seed=st.integers(0, 1 << 30),
    verb=st.sampled_from(("auto", "named", "named", *VERBS)),
)
def test_a_mutated_export_is_read_or_refused_in_words(original: Original, seed: int, verb: str) -> None:
    assert fault_of(mutated(original, every_original(), Random(seed)), verb) == ""


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    data=st.builds(lambda head, tail: head + tail, st.sampled_from(MAGIC), st.binary(max_size=200))
    | st.lists(st.sampled_from(BYTES), max_size=30).map(b"".join)
    | st.integers(0, 1 << 30).map(lambda seed: nonsense(Random(seed))),
    name=st.sampled_from(NAMES),
    verb=st.sampled_from(VERBS),
)
def test_any_bytes_are_read_or_refused_in_words(data: bytes, name: str, verb: str) -> None:
    assert fault_of(Original("table", name, data), verb) == ""


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=JSON, source=st.sampled_from(("spotify", "listenbrainz", "maloja", "youtube-music", "lastfm", "table")))
def test_json_of_any_structure_is_read_or_refused_in_words(value: Any, source: str) -> None:
    assert fault_of(Original(source, "log.json", json.dumps(value).encode()), "named") == ""


TITLE = b"session,track\ns,%s\ns,b\n"
FOUND = {
    "text that begins as zlib does": ("table", "plays.csv", TITLE.replace(b"s,%s", b"x^2,a")),
    "text that begins as gzip does": ("table", "plays.csv", b"session,track\n\x1f\x8b,a\ns,b\n"),
    "every record is bad": ("table", "plays.csv", b"session,track\ns\nt\nu,v,w\n"),
    "a log without the columns of tracks": ("rockbox", ".scrobbler.log", b"#AUDIOSCROBBLER/1.1\na\tb\nc\td\n"),
    "a log without the column of times": ("rockbox", ".scrobbler.log", b"#AUDIOSCROBBLER/1.1\na\tb\tc\t1\t9\tL\n"),
    "two objects in one field": (
        "30music",
        "sessions.idomaar",
        b'event.session\t1\t1390000000\t{"a":1} {"subjects":[{"id":4}],"objects":[]} {"objects":[]}\n' * 2,
    ),
    "a length beyond float32": (
        "table",
        "plays.csv",
        b"user,time,track,duration\nu,1700000000,a,1e308\nu,1700000900,b,200\nu,1700001900,b,200\n",
    ),
    "a time played that is endless": (
        "apple-music",
        "Apple Music Play Activity.csv",
        b"Event End Timestamp,End Reason Type,Play Duration Milliseconds,Song Name\n2023-03-05T08:00:00Z,,inf,a\n",
    ),
    "an id that is a large float": (
        "table",
        "plays.csv",
        b"user,time,track\nu,1700000000,1e308\nu,1700000900,1.5\nu,1700001900,2.0\n",
    ),
}
"""What the fuzzing found, and what became of each: source, name and bytes of a file."""


@pytest.mark.parametrize("found", FOUND)
def test_what_was_found_once_is_read_or_refused_in_words(found: str) -> None:
    source, name, data = FOUND[found]
    for verb in ("named", "auto", "table"):
        assert fault_of(Original(source, name, data), verb) == ""


def test_a_parquet_file_that_polars_panics_at_is_refused_as_damaged() -> None:
    data = next(one.data for one in every_original() if one.name == "multi_event.parquet")
    types = re.search(rb"ARROW:schema.{0,4}?([A-Za-z0-9+/=]{200,})", data, re.DOTALL)
    assert types is not None
    damaged = base64.b64encode(base64.b64decode(types[1]).replace(b"6;listen", b"x;listen"))  # no number of letters
    with tempfile.TemporaryDirectory() as folder:
        given = Original("yambda", "multi_event.parquet", data.replace(types[1], damaged))
        assert "damaged" in prepared(given, "named", Path(folder)).message
