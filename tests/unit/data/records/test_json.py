"""JSON of any layout gives the same flat records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.data.records import json_records, json_text
from segue.errors import InputError
from support.read_records import read_bytes

RECORDS: list[dict[str, Any]] = [
    {"ts": "2024-02-29T16:21:02Z", "ms": 242786 + i, "big": 12345678901234567890123, "skipped": i == 0, "none": None}
    | {"track": {"artists": ["A", "B,]"], "title": f"é {i}"}, "subtitles": [{"name": "N"}], "empty": "", "list": []}
    for i in range(3)
]
COLUMNS = ("ts", "ms", "big", "skipped", "track.artists.0", "track.artists.1", "track.title", "subtitles.0.name")
ROWS = [
    ("2024-02-29T16:21:02Z", str(242786 + i), "12345678901234567890123", str(i == 0).lower(), "A", "B,]", f"é {i}", "N")
    for i in range(3)
]
ONE = json.dumps(RECORDS)
EACH = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
LAYOUTS = {
    "array": ONE,
    "indented": json.dumps(RECORDS, indent=2),
    "lines": "\n".join(EACH),
    "no brackets": ",\n".join(EACH),
    "no brackets and a last comma": ",\n".join(EACH) + ",\n",
    "trailing commas": "[" + ",".join(text[:-1] + " , }" for text in EACH) + ",]",
    "two arrays": json.dumps(RECORDS[:1]) + "\n" + json.dumps(RECORDS[1:]),
    "below a key": json.dumps({"maloja": {"export_time": 1}, "scrobbles": RECORDS}),
    "below a key with values beside": json.dumps({"user": "x", "scrobbles": RECORDS, "count": 3}),
    "a page": json.dumps({"recenttracks": {"@attr": {"page": "1"}, "track": RECORDS}}),
    "pages": json.dumps([{"recenttracks": {"track": RECORDS[:2]}}, {"recenttracks": {"track": RECORDS[2:]}}]),
    "payload": json.dumps({"payload": {"count": 3, "listens": RECORDS, "user_id": "x"}}),
    "empty page": json.dumps(
        [{"recenttracks": {"track": RECORDS}}, {"recenttracks": {"track": [], "@attr": {"a": "1"}}}]
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_records_in_any_layout_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str, size: int
) -> None:
    monkeypatch.setattr(json_records, "CHUNK_BYTES", size)
    monkeypatch.setattr(json_records, "BLOCK_ROWS", 2)
    read = read_bytes(tmp_path, LAYOUTS[name].encode(encoding), "log.json")
    assert read.sample.kind == "json"
    assert read.sample.columns == COLUMNS
    assert read.rows == ROWS
    assert read.sample.first.rows() == ROWS
    assert read.line == [1, 2, 3]


@pytest.mark.parametrize("name", ["array", "below a key", "below a key with values beside", "a page", "payload"])
def test_an_object_too_large_to_be_a_record_is_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(json_records, "CHUNK_BYTES", 32)
    monkeypatch.setattr(json_text, "MAX_OBJECT", 300)
    assert read_bytes(tmp_path, LAYOUTS[name].encode(), "log.json").rows == ROWS


def test_only_the_wanted_paths_are_given_and_null_where_a_record_lacks_them(tmp_path: Path) -> None:
    data = b'[{"a":{"b":1,"c":2},"d":1.50},{"d":1e400,"a":[true]}]'
    read = read_bytes(tmp_path, data, "log.json", wanted=("a.b", "d", "zz"))
    assert read.frame.columns == ["a.b", "d", "zz"]
    assert read.rows == [("1", "1.50", None), (None, "1e400", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{'a': 1}]", "record 1, byte 2"),
        ('[{"a": 1}, {"a": }]', "record 2, byte 17"),
        ('[{"a": 1}, {"a": 2}', r"record 3, byte 19: the file ends before its array does"),
        ('[{"a": 1}, {"a": "x', "the file ends inside a value"),
        ('[{"a": 1}, 5]', "record 2, byte 11: an object is expected"),
        ('[{"a": "\\ud83d"}]', "record 1 has half of a surrogate pair"),
        ('[{"a": ' + "[" * 100_000, "too deep"),
        ("[]", "is empty; it is JSON without records"),
        ('{"scrobbles": []}', "is empty; it is JSON without records"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bytes(tmp_path, text.encode(), "log.json")


VALUES = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = st.text('abc,]}"\\', min_size=1, max_size=4)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.dictionaries(KEYS, VALUES, max_size=4).map(lambda r: {"id": "x"} | r), min_size=1, max_size=5),
    size=st.integers(1, 40),
    lines=st.booleans(),
    surplus=st.booleans(),
)
def test_any_records_are_read_back(
    tmp_path: Path, records: list[dict[str, Any]], size: int, lines: bool, surplus: bool
) -> None:
    texts = [json.dumps(record)[:-1] + (",}" if surplus else "}") for record in records]
    data = ("\n".join(texts) if lines else "[" + ",".join(texts) + "]").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "CHUNK_BYTES", size)
        read = read_bytes(tmp_path, data, "log.json")
    words = {True: "true", False: "false"}
    for row, record in zip(read.frame.to_dicts(), records, strict=True):
        expected = {k: words[v] if isinstance(v, bool) else str(v) for k, v in record.items() if v not in (None, "")}
        assert {name: value for name, value in row.items() if value is not None} == expected
