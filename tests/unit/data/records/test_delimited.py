"""Delimited text: one table, whatever its dialect."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.data.records.member import Member
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import NOT_UTF8, NUL_BYTE, TRUNCATED_LAST_LINE, UNCLOSED_QUOTE, WRONG_FIELD_COUNT, Rejects
from segue.errors import InputError
from support.read_records import read_bytes

ROWS = [("u1", str(1_700_000_000 + 200 * i), f"t{i % 11}") for i in range(60)]
TEXT = "user,timestamp,track\n" + "".join(",".join(row) + "\n" for row in ROWS)
DIALECTS = {
    "plain": TEXT.encode(),
    "mark": TEXT.encode("utf-8-sig"),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "returns": TEXT.replace("\n", "\r").encode(),
    "header by newline, records by return": TEXT.replace("\n", "\r").replace("\r", "\n", 1).encode(),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "utf-16, high byte first, without a mark": TEXT.encode("utf-16-be"),
    "separator line": ("sep=,\n" + TEXT).encode(),
    "comment": ("# exported 2024-01-01\n" + TEXT).encode(),
    "blank line first": ("\n" + TEXT).encode(),
    "row of separators first": (",,\n" + TEXT).encode(),
    "blank lines last": (TEXT + "\n\n").encode(),
    "blank line amid": TEXT.replace("u1,1700000400", "\nu1,1700000400").encode(),
    "no last line end": TEXT.removesuffix("\n").encode(),
    "bars": TEXT.replace(",", "|").encode(),
    "tabs": TEXT.replace(",", "\t").encode(),
    "semicolons": TEXT.replace(",", ";").encode(),
    "double colons": TEXT.replace(",", "::").encode(),
    "trailing commas": TEXT.replace("\n", ",\n").encode(),
    "trailing commas below the header": TEXT.replace("\n", ",\n").replace(",\n", "\n", 1).encode(),
    "index": "".join(f"{i - 1 if i else ''},{line}\n" for i, line in enumerate(TEXT.splitlines())).encode(),
    "all quoted": TEXT.replace(",", '","').replace("\n", '"\n"').join('""').removesuffix('""').encode(),
    "blanks in the header": TEXT.replace("user,timestamp", " user ,timestamp ", 1).encode(),
    "typed header": TEXT.replace("user,timestamp,track", "user:token,timestamp:float,track:token", 1).encode(),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("size", [16, 1 << 23])
def test_one_table_in_any_dialect_gives_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    monkeypatch.setattr("segue.data.records.delimited.BLOCK_BYTES", size)
    read = read_bytes(tmp_path, DIALECTS[name])
    assert read.sample.columns == ("user", "timestamp", "track")
    assert read.sample.headed
    assert read.rows == ROWS
    assert read.sample.first.rows() == ROWS
    assert read.counts == {}


def test_only_the_wanted_columns_are_given_in_the_order_asked_for(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, TEXT.encode(), wanted=("track", "user"))
    assert read.frame.columns == ["track", "user"]
    assert read.rows == [(track, user) for user, _, track in ROWS]


def test_a_quoted_line_break_stays_in_its_field_and_lines_count_it(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, b'user,title\nu1,"a\nu1,EVIL"\nu2,"b\r\n""c"""\nu3,d\n')
    assert read.rows == [("u1", "a\nu1,EVIL"), ("u2", 'b\r\n"c"'), ("u3", "d")]
    assert read.line == [2, 4, 6]


def test_quotes_inside_a_field_are_read_as_they_are_meant(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, b'user,title\nu1,"Song" remix\nu2,12" version\nu3,plain\n')
    assert read.rows == [("u1", "Song remix"), ("u2", '12" version'), ("u3", "plain")]
    assert read.line == [2, 3, 4]


@pytest.mark.parametrize("size", [16, 1 << 23])
def test_an_unclosed_quote_costs_its_own_line_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("segue.data.records.delimited.BLOCK_BYTES", size)
    read = read_bytes(tmp_path, b'user,title\nu1,a\nu2,"open\nu3,c\nu4,"d, e"\nu5,f\n')
    assert read.rows == [("u1", "a"), ("u3", "c"), ("u4", "d, e"), ("u5", "f")]
    assert read.line == [2, 4, 5, 6]
    assert read.counts == {UNCLOSED_QUOTE: 1}
    last = read_bytes(tmp_path, b'user,title\nu1,a\nu2,"open\nu3,c\n')
    assert last.rows == [("u1", "a"), ("u3", "c")]
    assert last.counts == {UNCLOSED_QUOTE: 1}


def test_a_quote_that_stays_open_for_too_long_is_taken_for_an_unclosed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.data.records.delimited.BLOCK_BYTES", 64)
    monkeypatch.setattr("segue.data.records.pieces.MAX_RECORD_BYTES", 512)
    rows = [(f"u{i}", f"t{i}") for i in range(500)]
    text = 'user,track\nu,"open\n' + "".join(f"{user},{track}\n" for user, track in rows)
    read = read_bytes(tmp_path, text.encode())
    assert read.rows == rows
    assert read.counts == {UNCLOSED_QUOTE: 1}


def test_records_with_fields_too_many_or_too_few_are_rejected_with_line_and_text(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, b"user,track\nu1,t1\nu2\nu3,t3,x\nu4,t4,\nu5,t5\nu6")
    assert read.rows == [("u1", "t1"), ("u4", "t4"), ("u5", "t5")]
    assert read.counts == {WRONG_FIELD_COUNT: 2, TRUNCATED_LAST_LINE: 1}
    assert read.rejects.path.read_text().splitlines()[1:] == [
        "log.csv,3,wrong-field-count,u2",
        'log.csv,4,wrong-field-count,"u3,t3,x"',
        "log.csv,7,truncated-last-line,u6",
    ]


def test_two_wrong_field_counts_do_not_make_a_right_one(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, b"user,title,track\nu1,a,t1\nu2,\nu3,b,t3,x\nu4,c,t4\n")
    assert read.rows == [("u1", "a", "t1"), ("u4", "c", "t4")]
    assert read.counts == {WRONG_FIELD_COUNT: 2}


def test_a_repeated_header_is_noted_and_is_no_reject(tmp_path: Path) -> None:
    one = TEXT.encode("utf-8-sig")
    read = read_bytes(tmp_path, one + one + one)
    assert read.rows == ROWS * 3
    assert dict(read.rejects.notes) == {"repeated-header": 2}
    assert read.rejects.total == 0
    again = read_bytes(tmp_path, one + one, wanted=("user",))
    assert again.frame.height == 2 * len(ROWS)


def test_bytes_that_are_no_utf8_and_nul_bytes_are_rejected_alone(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "user,track\nu1,té\nu2,t\nu3,t\0\nu4,t4\n".encode("latin-1"))
    assert read.rows == [("u2", "t"), ("u4", "t4")]
    assert read.counts == {NOT_UTF8: 1, NUL_BYTE: 1}
    assert "save the file as UTF-8" in read.rejects.examples[1]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1\t25\t4\t880090000\n1\t3\t3\t880090100\n", ("0", "1", "2", "3")),
        ("1::25::4::880090000\n1::3::3::880090100\n", ("0", "1", "2", "3")),
        ('B,C,A,"11 Jul 2024 09:07"\nB,C,D,"11 Jul 2024 09:03"\n', ("0", "1", "2", "3")),
        ("user_1\t2009-05-04T23:08:57Z\t\tX\t\tY\nuser_1\t2009-05-04T13:54:10Z\t\tX\t\tZ\n", tuple("012345")),
    ],
)
def test_a_file_whose_first_line_is_a_record_has_numbered_columns(
    tmp_path: Path, text: str, columns: tuple[str, ...]
) -> None:
    read = read_bytes(tmp_path, text.encode())
    assert read.sample.columns == columns
    assert not read.sample.headed
    assert read.line == [1, 2]


def test_comment_lines_above_the_records_are_kept_apart(tmp_path: Path) -> None:
    records = "A\tB\tT\t1\t200\tL\t1700000000\t\nA\tB\tU\t2\t20\tS\t1700000300\t\n"
    log = "#AUDIOSCROBBLER/1.1\n#TZ/UNKNOWN\n#CLIENT/Rockbox\n" + records
    read = read_bytes(tmp_path, log.encode("utf-8-sig"), ".scrobbler.log")
    assert read.sample.preamble == ("#AUDIOSCROBBLER/1.1", "#TZ/UNKNOWN", "#CLIENT/Rockbox")
    assert not read.sample.headed
    assert read.line == [4, 5]
    assert read.rows[1] == ("A", "B", "U", "2", "20", "S", "1700000300", None)


def test_names_equal_but_for_case_are_both_kept_and_equal_ones_are_refused(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"track,Track\na,b\n").sample.columns == ("track", "Track")
    with pytest.raises(InputError, match=r"line 1: the header names a column twice \(track\)"):
        read_bytes(tmp_path, b"track, track\na,b\n")


def test_a_stray_carriage_return_stays_in_its_field(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, TEXT.replace("t3\n", "t\r3\n").encode()).rows[3][2] == "t\r3"
    with pytest.raises(InputError, match="carriage return"):
        read_bytes(tmp_path, TEXT.replace("track\n", "tr\rack\n").encode())


def test_a_field_may_be_larger_than_the_csv_module_allows(tmp_path: Path) -> None:
    title = "x" * 200_000
    for text in (f"user,title\nu,{title}", f'user,title\nu,"{title}\n"\n', f'user,title\nu,{title}"\n'):
        assert len(read_bytes(tmp_path, text.encode()).rows[0][1] or "") >= len(title)


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (b"", (), "log.csv is empty; name a file with records"),
        (b"\n\n", (), "log.csv is empty; name a file with records"),
        (b"user,track\n", ("user", "track"), "log.csv is empty; it has a header and no records below it"),
    ],
)
def test_an_empty_file_has_a_sample_and_no_blocks(
    tmp_path: Path, data: bytes, columns: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    sample = sample_of(Member("log.csv", path))
    assert (sample.columns, sample.first.height) == (columns, 0)
    with pytest.raises(InputError, match=message):
        list(blocks_of(Member("log.csv", path), sample, (), Rejects(tmp_path / "r.csv")))


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column artist; it has user, timestamp, track"):
        read_bytes(tmp_path, TEXT.encode(), wanted=("artist",))
