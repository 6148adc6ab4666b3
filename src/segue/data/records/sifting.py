"""Separates the valid records of a piece from the others, record by record."""

from __future__ import annotations

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

    def num_fields(self) -> NDArray[np.int64]:
        """Return how many fields each record has."""
        texts = self.texts
        if self.quoted:  # separators count outside quotes
            texts = [b"".join(text.split(b'"')[::2]) if b'"' in text else text for text in texts]
        return np.array([text.count(self.separator) for text in texts], np.int64) + 1

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
    has_nul = np.array([b"\0" in text for text in records.texts], np.bool_)
    suspect = has_nul | (records.num_fields() != dialect.width)
    if dialect.width == 1:
        suspect |= np.array([text in (b"", b"\r") for text in records.texts], np.bool_)
    texts, line, after = list[bytes](), list[NDArray[np.int64]](), 0
    for at in np.flatnonzero(suspect).tolist():
        text = records.texts[at]
        whole = () if has_nul[at] else _as_wide(text, records, dialect)
        if not whole and text.strip():
            is_last = cut and at == len(records.texts) - 1
            kind = NUL_BYTE if has_nul[at] else TRUNCATED_LAST_LINE if is_last else WRONG_FIELD_COUNT
            bad.append((kind, [(int(records.line[at]), records.shown(text, dialect))]))
        texts += [*records.texts[after:at], *whole]
        line += [records.line[after:at], np.full(len(whole), records.line[at])]
        after = at + 1
    line.append(records.line[after:])
    return replace(records, texts=texts + records.texts[after:], line=np.concatenate(line))


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
    count = int(replace(records, texts=[content]).num_fields()[0])
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
