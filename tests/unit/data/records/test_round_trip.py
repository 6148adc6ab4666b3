"""Any table that Python's csv.writer writes is read back as it was, whatever the dialect, encoding and container."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.data.records import delimited, parsing
from segue.data.records.member import find_members
from support.read_records import read_file

HOSTILE = [
    '"',
    "\n",
    "\r",
    "\r\n",
    ",",
    "\t",
    ";",
    "|",
    "::",
    "\ufeff",
    "🎵",
    "é",
    "''",
    "a",
    " ",
    "#",
    "sep=,",
    "x" * 300,
]
FIELDS = st.lists(st.sampled_from(HOSTILE), max_size=5).map("".join)
TABLES = st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(FIELDS, min_size=n, max_size=n), min_size=1, max_size=8))
CONTAINERS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "two gzip members": lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
NAMES = ("user", "track", "title", "artist")


def _written(table: list[list[str]], separator: str, line_end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerow(NAMES[: len(table[0])])
    writer.writerows(table)
    return text.getvalue()


def _quotes_what_returns_need(table: list[list[str]], line_end: str, quoting: int) -> int:
    """Return the quoting that keeps line ends apart: csv.writer quotes only those of its own line end."""
    foreign = any("\r" in field or "\n" in field for row in table for field in row) and line_end != "\r\n"
    return csv.QUOTE_ALL if foreign else quoting


@pytest.mark.parametrize("exact", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=TABLES,
    separator=st.sampled_from([",", "\t", ";", "|"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    container=st.sampled_from(sorted(CONTAINERS)),
    size=st.sampled_from([1, 7, 64, 1 << 23]),
)
def test_a_table_is_read_back_as_it_was_written(
    tmp_path: Path,
    exact: bool,
    table: list[list[str]],
    separator: str,
    line_end: str,
    quoting: int,
    encoding: str,
    container: str,
    size: int,
) -> None:
    quoting = _quotes_what_returns_need(table, line_end, quoting)
    data = _written(table, separator, line_end, quoting).encode(encoding)
    path = tmp_path / "log.csv"
    path.write_bytes(CONTAINERS[container](data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", size)
        if exact:
            patch.setattr(parsing, "_polars", lambda *_: None)
        read = read_file(path)
    expected = [tuple(field or None for field in row) for row in table]
    assert read.sample.columns == NAMES[: len(table[0])]
    assert read.rows == expected
    assert read.sample.first.rows() == expected
    assert read.counts == {}
    assert read.line == sorted(set(read.line))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=TABLES, packed=st.booleans())
def test_a_file_of_a_zip_is_read_as_the_file_is(tmp_path: Path, table: list[list[str]], packed: bool) -> None:
    data = _written(table, ",", "\r\n", csv.QUOTE_MINIMAL).encode()
    path = tmp_path / "export [1]*.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MyData/plays.csv", gzip.compress(data) if packed else data)
    assert [member.name for member in find_members([path])] == ["MyData/plays.csv"]
    assert read_file(path).rows == [tuple(field or None for field in row) for row in table]
