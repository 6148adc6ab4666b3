"""Separates the valid records of a piece from the others, record by record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segue.data.records.dialect import Dialect
from segue.data.records.pieces import Bad, Piece
from segue.data.rejects import NOT_UTF8, NUL_BYTE, TRUNCATED_LAST_LINE, WRONG_FIELD_COUNT


@dataclass(frozen=True)
class Records:
    """The records of a piece, one by one."""

    texts: list[bytes]
    """Bytes of each record without its newline."""
    line: NDArray[np.int64]
    """Physical line of each record, from 0 within the piece."""
    num_lines: int
    """Physical lines of the piece."""
    quoted: bool
    separator: bytes
    """One byte."""

    @property
    def data(self) -> bytes:
        """The records, each ended by a newline."""
        return b"\n".join([*self.texts, b""])

    def num_fields(self, text: bytes) -> int:
        """Return how many fields a record has."""
        if self.quoted and b'"' in text:
            text = b"".join(text.split(b'"')[::2])  # what is outside quotes
        return text.count(self.separator) + 1

    def fields(self, text: bytes) -> list[bytes]:
        """Return the fields of a record without NUL bytes, unquoted."""
        text = text.removesuffix(b"\r")
        if not (self.quoted and b'"' in text):
            return text.split(self.separator)
        parts = text.split(b'"')
        parts[::2] = [outside.replace(self.separator, b"\0") for outside in parts[::2]]
        fields = b'"'.join(parts).split(b"\0")
        return [field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field for field in fields]

    def texts_on(self, dialect: Dialect, lines: NDArray[np.int64]) -> list[str]:
        """Return the records that begin on `lines`, as in the file."""
        return [self.shown(self.texts[at], dialect) for at in np.searchsorted(self.line, lines).tolist()]

    def shown(self, text: bytes, dialect: Dialect) -> str:
        """Return a record as in the file."""
        if len(dialect.separator) > 1:
            text = text.replace(self.separator, dialect.separator.encode())
        return text.decode("utf-8", "replace").rstrip("\r")


def records_of(piece: Piece, separator: int) -> Records:
    """Return the records of `piece`, fields separated by the byte `separator`."""
    texts = piece.data.split(b"\n")[:-1]
    num_lines, line = len(texts), np.arange(len(texts), dtype=np.int64)
    if piece.quoted:
        quotes = np.array([text.count(b'"') for text in texts], np.int64)
        line = np.flatnonzero((np.cumsum(quotes) - quotes) % 2 == 0)  # lines that begin outside quotes
        if len(line) < num_lines:
            texts = [b"\n".join(texts[first:end]) for first, end in pairwise([*line.tolist(), num_lines])]
    line = line if piece.line is None else piece.line
    num_lines = num_lines if piece.num_lines is None else piece.num_lines
    return Records(texts, line, num_lines, piece.quoted, bytes((separator,)))


def sifted(records: Records, dialect: Dialect, cut: bool, bad: list[Bad]) -> Records:
    """Return the records with as many fields as the header, without blank lines; others go to `bad`.

    `cut` = the last record lacks its line end in the file.
    """
    sound = list(_sound(records, dialect, cut, bad))
    line = np.array([number for number, _ in sound], np.int64)
    return replace(records, texts=[text for _, text in sound], line=line)


def _sound(records: Records, dialect: Dialect, cut: bool, bad: list[Bad]) -> Iterator[tuple[int, bytes]]:
    blanks = (b"", b"\r") if dialect.width == 1 else ()
    last = int(records.line[-1]) if cut and len(records.line) else -1
    for number, text in zip(records.line.tolist(), records.texts, strict=True):
        has_nul = b"\0" in text
        if not has_nul and records.num_fields(text) == dialect.width and text not in blanks:
            yield number, text
            continue
        whole = () if has_nul else _as_wide(text, records, dialect)
        yield from ((number, part) for part in whole)
        if not whole and text.strip():
            kind = NUL_BYTE if has_nul else TRUNCATED_LAST_LINE if number == last else WRONG_FIELD_COUNT
            bad.append((kind, [(number, records.shown(text, dialect))]))


def _as_wide(text: bytes, records: Records, dialect: Dialect) -> tuple[bytes, ...]:
    """Return the records into which a record with a wrong number of fields can be mended: one with too many or too few
    empty fields at its end, or several separated by carriage returns."""
    separator, width = records.separator, dialect.width
    if not text.strip():
        return ()
    if b"\r" in text.rstrip(b"\r") and b'"' not in text:
        parts = text.replace(b"\r\n", b"\r").strip(b"\r").split(b"\r")
        return tuple(parts) if all(part.count(separator) + 1 == width for part in parts) else ()
    content = text.rstrip(b"\r")
    count = records.num_fields(content)
    surplus = count - width
    if surplus > 0 and content.endswith(separator * surplus):
        return (content[: len(content) - surplus],)
    named = max((index + 1 for index, name in enumerate(dialect.names) if name), default=0)
    return (content + separator * -surplus,) if named <= count < width else ()


def readable(records: Records, bad: list[Bad]) -> Records:
    """Return the records that are UTF-8; others go to `bad`."""
    keep = np.ones(len(records.texts), np.bool_)
    for at, text in enumerate(records.texts):
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            keep[at] = False
            bad.append((NOT_UTF8, [(int(records.line[at]), text.decode("utf-8", "replace").rstrip("\r"))]))
    texts = [text for text, stays in zip(records.texts, keep, strict=True) if stays]
    return replace(records, texts=texts, line=records.line[keep])
