"""A file cut anywhere, or bytes of any kind: an InputError or true records, never a traceback or a wrong record."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from segue.data.records import delimited, json_records
from segue.errors import InputError
from support.read_records import read_bytes

ROWS = [("u1", "1700000000", "a, b", "x"), ("u2", "1700000200", 'say "hi"', "y"), ("u3", "1700000400", "é\nf", "zz")]
TEXT = 'user,timestamp,title,track\nu1,1700000000,"a, b",x\nu2,1700000200,"say ""hi""",y\nu3,1700000400,"é\nf",zz\n'
RECORDS = [{"ts": row[1], "track": {"title": row[2], "ids": [row[3]]}, "n": 12, "skipped": True} for row in ROWS]
FLAT = [(row[1], row[2], row[3], "12", "true") for row in ROWS]


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plays.csv", data)
    return buffer.getvalue()


FILES = {
    "plain": (TEXT.encode(), ROWS),
    "crlf": (TEXT.replace("\n", "\r\n").encode(), [(*row[:2], row[2].replace("\n", "\r\n"), row[3]) for row in ROWS]),
    "utf-16": (TEXT.encode("utf-16"), ROWS),
    "gzip": (gzip.compress(TEXT.encode()), ROWS),
    "zip": (_zipped(TEXT.encode()), ROWS),
    "json": (json.dumps(RECORDS, ensure_ascii=False).encode(), FLAT),
    "json lines": ("\n".join(map(json.dumps, RECORDS)).encode(), FLAT),
    "json below a key": (json.dumps({"scrobbles": RECORDS}).encode(), FLAT),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_byte_gives_true_records_or_an_input_error(tmp_path: Path, name: str) -> None:
    data, rows = FILES[name]
    assert read_bytes(tmp_path, data).rows == rows
    for size in range(len(data)):
        try:
            read = read_bytes(tmp_path, data[:size])
        except InputError:
            continue
        if len(read.sample.columns) == len(rows[0]):
            got = read.rows
            whole = got if name == "json lines" else got[:-1]  # what is cut within its last field cannot be told
            assert whole == rows[: len(whole)], size


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(data=b'a,b\n1,"\n\x00', size=1)
@example(data=b"{}", size=1)
@example(data=b'"",""\n1,2\n', size=16)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"\t", b"\0", b"\xff", b"{", b"[", b"}", b":"])).map(
            b"".join
        ),
        st.builds(
            lambda head, tail: head + tail,
            st.sampled_from(
                [b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"ARROW1", b"BZh9", b"\xfd7zXZ\0", b"SQLite format 3\0"]
            )
            | st.sampled_from(
                [b"(\xb5/\xfd", b'[{"a":1},', b"user,track\n", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]
            ),
            st.binary(max_size=120),
        ),
    ),
    size=st.sampled_from([1, 16, 1 << 20]),
)
def test_bytes_of_any_kind_give_records_or_an_input_error(tmp_path: Path, data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", size)
        patch.setattr(json_records, "CHUNK_BYTES", size)
        try:
            read = read_bytes(tmp_path, data)
        except InputError:
            return
    assert read.frame.width == len(read.frame.columns)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.sampled_from(["u1,t1", '"u,2",t2', 'u3,"t\n3"', 'u4,"t4', 'u5,t"5"', "u6", "u7,t7,x", "", 'u8,""""'])
    ),
    size=st.sampled_from([1, 8, 32]),
)
def test_the_size_of_a_block_changes_nothing(tmp_path: Path, lines: list[str], size: int) -> None:
    data = ("user,track\n" + "".join(line + "\n" for line in lines)).encode()
    results = []
    for block in (size, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delimited, "BLOCK_BYTES", block)
            try:
                read = read_bytes(tmp_path, data)
                results.append((read.rows, read.line, read.counts))
            except InputError as error:
                results.append(str(error))
    assert results[0] == results[1]
