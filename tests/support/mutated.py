"""True exports made hostile: bytes flipped and cut, fields and types exchanged, formats spliced, containers nested.

Every change takes a `Random`, so that a seed gives the same bytes again.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import polars as pl

from support.exports.every import Original

TEXTS: Final = (
    *("", " ", "nan", "inf", "-inf", "null", "None", "true", "maybe", "0", "-1", "12.0", "1.23E+15", "1e308", "1e400"),
    *(
        "9" * 19,
        "-" + "9" * 19,
        "9" * 400,
        "18446744073709551615",
        "1_000",
        "1,5",
        "0x10",
        "+5",
        "١٢",
        "\uff11\uff12",
        "--",
    ),
    *("11/29/2023", "45259.5", "2023-13-45", "0000-00-00 00:00:00", "9999-12-31 23:59:59", "10000-01-01"),
    *("-271821-04-20", "2023-10-29T02:30:00+99:99", "2023-10-29 02:30:00+24:00", "12:60", "99999999999999:00"),
    *('"', '""', 'a"b', "'", "\0", "\x1b[31m", "\u202e", "\ufeff", "\u2028", "=1+1", "a,b", "a\nb", "\r", "\t", "::"),
    *(";", "|", "#", "sep=,", "é", "e\u0301", "💥", "x" * 70_000, "{}", "[", "\\", "\\ud800", "a.b.c", "__line__"),
    *("line", "track", "at", "value", "missing", "rating", "user", "date"),
)
"""What a field may hold, and ought not to."""
BYTES: Final = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"),
    *(b'"', b"'", b"\r", b"\n", b"\r\n", b",", b"\t", b";", b"|", b"::", b"{", b"}", b"[", b"]", b":", b"\\", b"#"),
    *(b"\\u", b'"\\ud800"', b"1e999", b"null", b"-", b"PAR1", b"ARROW1", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08"),
    *(b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"SQLite format 3\x00", b"ustar", b"sep=;\n", b"\x1a", b"\x7f"),
)
"""What may stand anywhere in a file, and ought not to."""
_TYPES: Final[tuple[Any, ...]] = (
    *(pl.String, pl.Int64, pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.Date, pl.Datetime("ns")),
    *(pl.Datetime("ms", "Asia/Tokyo"), pl.Duration("us"), pl.Time, pl.Binary, pl.Categorical, pl.Decimal(20, 2)),
    *(pl.Null, pl.List(pl.String), pl.List(pl.Int64), pl.Struct({"a": pl.String})),
)
Change = Callable[[bytes, Random], bytes]
"""Returns other bytes; those given where they cannot be changed so."""


def mutated(original: Original, others: Sequence[Original], random: Random) -> Original:
    """Return a file of an export with some changes, one to three; `others` lend parts of theirs."""
    data, changes = original.data, [*_ANY, *_ANY, *_of_form(original.data)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        change = random.choice([*changes, _spliced(random.choice(others).data)])
        with suppress(
            Exception, pl.exceptions.PanicException
        ):  # a change that wants a whole file meets one that is broken already
            data = change(data, random)
    if random.random() < 0.15:
        data = random.choice(_CONTAINERS)(data, random)
    return Original(original.source, original.name, data)


def nonsense(random: Random) -> bytes:
    """Return bytes of any kind, often led by those of a known format."""
    head = random.choice((b"", *BYTES))
    parts = [
        random.choice(BYTES) if random.random() < 0.5 else random.randbytes(3) for _ in range(random.randint(0, 40))
    ]
    return head + b"".join(parts)


def json_nonsense(random: Random, depth: int = 4) -> Any:
    """Return a JSON value of any shape, some of its keys those of true exports."""
    keys = ("ts", "track", "title", "time", "listened_at", "track_metadata", "artists", "0", "", "a.b", "endTime")
    kind = random.choice(("text", "number", "flag", *(("list", "object", "object") if depth else ())))
    if kind == "list":
        return [json_nonsense(random, depth - 1) for _ in range(random.randint(0, 4))]
    if kind == "object":
        return {random.choice(keys): json_nonsense(random, depth - 1) for _ in range(random.randint(0, 4))}
    values: dict[str, tuple[Any, ...]] = {"text": TEXTS, "number": (0, -1, 1e308, 10**30, 0.1), "flag": (True, None)}
    return random.choice(values[kind])


def _place(data: bytes, random: Random) -> tuple[int, int]:
    """Return where a slice of `data` begins and ends; most are short."""
    start = random.randint(0, len(data))
    return start, min(len(data), start + int(random.choice((1, 4, 60, len(data))) * random.random()) + 1)


def flipped(data: bytes, random: Random) -> bytes:
    """Return bytes of which some bits are flipped."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _deleted(data: bytes, random: Random) -> bytes:
    start, end = _place(data, random)
    return data[:start] + data[end:]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _duplicated(data: bytes, random: Random) -> bytes:
    start, end = _place(data, random)
    return data[:end] + data[start:end] * random.choice((1, 1, 50)) + data[end:]


def _inserted(data: bytes, random: Random) -> bytes:
    start, end = _place(data, random)
    return data[:start] + random.choice(BYTES) + data[random.choice((start, end)) :]


def _spliced(other: bytes) -> Change:
    def change(data: bytes, random: Random) -> bytes:
        start, _ = _place(data, random)
        first, last = _place(other, random)
        return (
            data[:start] + random.choice((other[first:last], other[first:])) + data[random.choice((start, len(data))) :]
        )

    return change


def _lines_mixed(data: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    first, second = (random.randrange(len(lines)) for _ in range(2))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join([*lines[:first], *lines[first : first + 1] * random.choice((0, 1, 2, 300)), *lines[first + 1 :]])


def _field_replaced(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    separator = max((b"\t", b",", b"::", b";"), key=data.count)
    for _ in range(random.choice((1, 1, 5))):
        line = random.randrange(len(lines))
        fields = lines[line].split(separator)
        fields[random.randrange(len(fields))] = random.choice(TEXTS).encode()
        lines[line] = separator.join(fields)
    return b"\n".join(lines)


def _column_replaced(data: bytes, random: Random) -> bytes:
    separator = max((b"\t", b",", b"::", b";"), key=data.count)
    rows = [line.split(separator) for line in data.split(b"\n")]
    place, value = random.randrange(len(rows[0])), random.choice(TEXTS).encode()
    for row in rows[random.choice((0, 1, 1)) :]:
        row[place : place + 1] = [value]
    return b"\n".join(separator.join(row) for row in rows)


def _node_replaced(data: bytes, random: Random) -> bytes:
    text = data.decode()
    documents = [json.loads(text)] if text.lstrip()[:1] == "[" or "\n{" not in text else _json_lines(text)
    holder: Any = documents
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = random.choice(keys)
        if isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.9:
            holder = holder[key]
            continue
        holder[key] = random.choice((json_nonsense(random), json_nonsense(random, 0), random.choice(TEXTS)))
        return "\n".join(json.dumps(document, ensure_ascii=random.random() < 0.5) for document in documents).encode()


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _archive_changed(data: bytes, random: Random) -> bytes:
    """Return an archive or a workbook with one of its files changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(files))
    files[name] = random.choice((*_ANY, *_of_form(files[name])))(files[name], random)
    kept = io.BytesIO()
    packing = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(kept, "w", packing) as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that stands twice
        for name, content in files.items():
            new.writestr(random.choice((name,) * 20 + TEXTS[20:]), content)
    return kept.getvalue()


def _retyped(data: bytes, random: Random) -> bytes:
    """Return a Parquet file with a column of another type, name or number of values."""
    frame = pl.read_parquet(io.BytesIO(data))
    name = random.choice(frame.columns)
    column = random.choice((frame[name], frame[name], pl.Series(name, random.choices(TEXTS, k=frame.height))))
    with suppress(Exception):
        column = column.cast(random.choice(_TYPES), strict=False)
    column = column.set(pl.Series([random.random() < 0.2 for _ in range(frame.height)]), None)
    frame = random.choice((frame, frame, frame.clear(), pl.concat([frame] * 3))).with_columns(column.alias(name)[:0])
    return _parquet(frame, random) if frame.is_empty() else _parquet(_with(frame, column), random)


def _with(frame: pl.DataFrame, column: pl.Series) -> pl.DataFrame:
    return frame.with_columns(pl.concat([column] * (frame.height // len(column))))


def _parquet(frame: pl.DataFrame, random: Random) -> bytes:
    kept = io.BytesIO()
    random.choice((frame.write_parquet, frame.write_parquet, frame.write_ipc))(kept)
    return kept.getvalue()


def _as_parquet(data: bytes, random: Random) -> bytes:
    frame = pl.read_csv(data, infer_schema=random.random() < 0.7, try_parse_dates=random.random() < 0.5)
    return _parquet(frame, random)


def _rows_changed(data: bytes, random: Random) -> bytes:
    """Return a database in which a column holds values of any type, or a table or column is gone."""
    values = ("'x'", "x'ff'", "x'00'", "NULL", "1e308", "-1", "9223372036854775807", "''", "1.5", "'1.23E+15'")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "changed.db")
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as base, base:
            tables = [row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            table = random.choice(tables)
            column = random.choice([row[1] for row in base.execute(f'PRAGMA table_info("{table}")')])
            base.execute(
                random.choice(
                    (
                        f'UPDATE "{table}" SET "{column}" = {random.choice(values)} WHERE rowid % 2 = 0',
                        f'UPDATE "{table}" SET "{column}" = {random.choice(values)}',
                        f'DELETE FROM "{table}"',
                        f'DROP TABLE "{table}"',
                        f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "{random.choice(tables)}.b"',
                    )
                )
            )
        return path.read_bytes()


def _zipped(data: bytes, random: Random) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plays.csv", data)
    return kept.getvalue()


def _damaged(pack: Callable[[bytes], bytes]) -> Change:
    def change(data: bytes, random: Random) -> bytes:
        return random.choice((lambda packed, _: packed, flipped, _cut, _deleted))(pack(data), random)

    return change


def _recoded(data: bytes, random: Random) -> bytes:
    encoding = random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037"))
    return data.decode("utf-8", "replace").encode(encoding, "replace")


def _of_form(data: bytes) -> tuple[Change, ...]:
    """Return the changes that fit the form of a file."""
    if data.startswith(b"PK"):
        return (_archive_changed,) * 8
    if data.startswith((b"PAR1", b"ARROW1")):
        return (_retyped,) * 8
    if data.startswith(b"SQLite"):
        return (_rows_changed,) * 8
    if data.lstrip()[:1] in (b"{", b"["):
        return (_node_replaced,) * 6
    return (*(_field_replaced,) * 4, *(_column_replaced,) * 2, _lines_mixed, _as_parquet)


_ANY: Final[tuple[Change, ...]] = (flipped, _deleted, _cut, _duplicated, _inserted)
_CONTAINERS: Final[tuple[Change, ...]] = (
    _damaged(gzip.compress),
    _damaged(bz2.compress),
    _damaged(lzma.compress),
    _damaged(lambda data: _zipped(data, Random(0))),
    _recoded,
)
