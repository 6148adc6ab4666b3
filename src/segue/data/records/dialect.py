"""The layout of a delimited file: separator, line ends, header and column names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from segue.data.records.utf8_text import UTF8_MARK
from segue.errors import InputError

PROBED: Final = 100
"""Records from which a dialect is detected."""
SEPARATORS: Final = ("\t", ",", ";", "|", "::")
_LINE: Final = re.compile(rb"\r?\n")
_QUOTED: Final = re.compile(rb'"(?:[^"]|"")*"')
_SEPARATOR_LINE: Final = re.compile(rb'"?sep=(.)"?', re.IGNORECASE)
_TYPED: Final = re.compile(r"(.+):(token|token_seq|float|float_seq)")
_VALUES: Final = {
    "number": re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?"),
    "date": re.compile(
        r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}(,? .*)?"
        r"|\d{1,2} [^\W\d]{3,10}\.? \d{4}(,? .*)?"
    ),
}
"""Values that occur in records and not in headers."""
_WORDS: Final = frozenset(
    "user userid username uid listener session sessionid track trackid trackname song songid songtitle item itemid "
    "title name artist artistname album albumname time timestamp date datetime ts uts played playedat endtime duration "
    "msplayed rating position skipped uri isrc mbid id event eventtype liked movieid entrydate utctime".split()
)
"""Usual column names, letters and digits only."""


@dataclass(frozen=True)
class Dialect:
    """The layout of one delimited file."""

    separator: str
    cells: tuple[str, ...]
    """Fields of the header as read; without a header, the numbers of the fields from 0."""
    headed: bool
    start: int
    """Bytes above the first record."""
    line: int
    """Physical line of the first record, from 1."""
    header: bytes = b""
    """Line of the header as read, without its line end; empty without a header."""
    preamble: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Fields of a record."""
        return len(self.cells)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields without blanks and RecBole's types; '' = a field without a name."""
        stripped = tuple(cell.strip().removeprefix("\ufeff").strip() for cell in self.cells)
        typed = [_TYPED.fullmatch(name) for name in stripped]
        return tuple(match[1] for match in typed if match) if all(typed) else stripped

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the fields that have one."""
        return tuple(name for name in self.names if name)

    @property
    def quoted(self) -> bool:
        """Whether fields may be in double quotes."""
        return len(self.separator) == 1


def dialect_of(head: bytes, name: str, *, whole: bool) -> Dialect:
    """Return the dialect of a text by its first bytes; `whole` = there are no more bytes.

    Raises:
        InputError: a header that is not UTF-8, has a line end outside quotes, or names a column twice.
    """
    start, line, preamble, separator = _above(head)
    text = head[start:].decode("utf-8", "replace")
    separator = separator or _guessed(text, whole)
    records = list(_probed(text, separator, whole))
    if not records:
        return Dialect(separator, (), True, start, line, preamble=preamble)
    first, later = records[0], records[1:]
    if _is_record(first, later):
        width = Counter(map(len, records)).most_common(1)[0][0]
        return Dialect(separator, tuple(map(str, range(width))), False, start, line, preamble=preamble)
    size, lines = _size_of_first(head[start:], separator)
    raw = head[start : start + size].rstrip(b"\r\n")
    dialect = Dialect(separator, _fitted(first, later), True, start + size, line + lines, raw, preamble)
    _check_header(dialect, f"{name} line {line}")
    return dialect


def ends_by_return(head: bytes, *, whole: bool) -> bool:
    """Return whether the lines of a text end by a carriage return alone."""
    if b"\r" not in head:
        return False
    bare = _QUOTED.sub(b"", head if whole else head.rstrip(b"\r"))
    pairs = bare.count(b"\r\n")
    return bare.count(b"\r") - pairs > bare.count(b"\n")


def _above(head: bytes) -> tuple[int, int, tuple[str, ...], str | None]:
    """Return where the first record begins (byte, line), the comment lines above it, and the separator that a line
    `sep=` there names."""
    start, line, preamble, separator = 0, 1, list[str](), None
    while start < len(head):
        end = _LINE.search(head, start)
        content = head[start : end.start() if end else len(head)].removeprefix(UTF8_MARK)
        named = _SEPARATOR_LINE.fullmatch(content)
        if named and separator is None:
            separator = named[1].decode("ascii", "replace")
        elif content.startswith(b"#"):
            preamble.append(content.decode("utf-8", "replace"))
        elif content.strip(b" \t\r,;|"):  # spreadsheets write a blank row as separators alone
            break
        start, line = (end.end() if end else len(head)), line + 1
    return start, line, tuple(preamble), separator


def _guessed(text: str, whole: bool) -> str:
    """Return the separator by which most of the first records have as many fields as the first; ',' if there is none.
    Of several, a tab, which is rare in text, comes before the one that gives most fields."""
    agreements = {separator: _agreement(text, separator, whole) for separator in SEPARATORS}
    best = max(SEPARATORS, key=agreements.__getitem__)
    return best if agreements[best][2] else ","


def _agreement(text: str, separator: str, whole: bool) -> tuple[float, bool, int]:
    """Return the share of the first records that have as many fields as the first, whether the separator is a tab, and
    how many fields these are."""
    widths = [len(record) for record in _probed(text, separator, whole)]
    if not widths or max(widths) < 2:
        return 0.0, False, 0
    width = Counter(widths).most_common(1)[0][0] if widths[0] < 2 else widths[0]
    share = sum(other == width for other in widths) / len(widths)
    return (share, separator == "\t", width) if width > 1 else (0.0, False, 0)


def _probed(text: str, separator: str, whole: bool) -> Iterator[list[str]]:
    """Yield the first records, without blank ones and without a last one that `text` may cut."""
    records = (record for record in _split(text, separator) if len(record) > 1 or any(map(str.strip, record)))
    previous = None
    for record in islice(records, PROBED):
        if previous is not None:
            yield previous
        previous = record
    if previous is not None and (whole or next(records, None) is not None):
        yield previous


def _split(text: str, separator: str) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    if len(separator) > 1:
        yield from (line.rstrip("\r\n").split(separator) for line in lines)
        return
    reader = csv.reader(lines, delimiter=separator)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue


def _is_record(first: list[str], later: list[list[str]]) -> bool:
    """Return whether the first line is a record: it has a number or date in a column where later records have one, or
    in any column if no later record has as many fields."""
    if any(re.sub(r"[^a-z0-9]", "", cell.lower()) in _WORDS for cell in first):
        return False
    alone = not any(len(record) == len(first) for record in later)
    for index, cell in enumerate(first):
        for pattern in _VALUES.values():
            if not pattern.fullmatch(cell.strip()):
                continue
            below = [record[index].strip() for record in later if len(record) > index and record[index].strip()]
            if alone or (below and sum(map(bool, map(pattern.fullmatch, below))) * 2 > len(below)):
                return True
    return False


def _fitted(first: list[str], later: list[list[str]]) -> tuple[str, ...]:
    """Return the header's fields, with empty ones added or dropped at its end to fit most records."""
    if not later:
        return tuple(first)
    named = max((index + 1 for index, cell in enumerate(first) if cell.strip()), default=0)
    width, count = Counter(map(len, later)).most_common(1)[0]
    beyond_empty = not any(any(record[len(first) :]) for record in later if len(record) == width)
    if width < named or count * 2 <= len(later) or not beyond_empty:
        return tuple(first)
    return (*first[:width], *[""] * (width - len(first)))


def _size_of_first(data: bytes, separator: str) -> tuple[int, int]:
    """Return bytes and physical lines of the first record."""
    sizes = list[int]()

    def texts() -> Iterator[str]:
        for line in io.BytesIO(data):
            sizes.append(len(line))
            yield line.decode("utf-8", "replace")

    try:
        next(texts() if len(separator) > 1 else csv.reader(texts(), delimiter=separator))
    except csv.Error:
        del sizes[1:]
    return sum(sizes), len(sizes)


def _check_header(dialect: Dialect, where: str) -> None:
    raw = dialect.header
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: the header has bytes that are not UTF-8 (byte {error.start}); save the file as UTF-8, it looks "
            "like Latin-1 or Windows-1252"
        ) from error
    if b"\0" in raw:
        raise InputError(f"{where}: the header has NUL bytes; name a text file, saved as UTF-8")
    if b"\r" in _QUOTED.sub(b"", raw):
        raise InputError(f"{where}: the header has a carriage return inside a name; remove it")
    twice = [column for column, count in Counter(dialect.columns).items() if count > 1]
    if twice:
        raise InputError(f"{where}: the header names a column twice ({', '.join(twice)}); rename one")
