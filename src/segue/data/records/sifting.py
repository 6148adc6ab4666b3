"""Separates the valid records of a piece from the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.data.records.dialect import Dialect
from segue.data.records.mending import Bad
from segue.data.records.pieces import Piece
from segue.data.records.structure import Structure, structure_of
from segue.data.rejects import NOT_UTF8, NUL_BYTE, TRUNCATED_LAST_LINE, WRONG_FIELD_COUNT


def sifted(structure: Structure, dialect: Dialect, cut: bool, bad: list[Bad]) -> Structure:
    """Return the records with as many fields as the header, without blank lines; others go to `bad`.

    `cut` = the last record lacks its line end in the file.
    """
    suspects = structure.num_fields() != dialect.width
    if dialect.width == 1:
        suspects |= structure.sizes() <= 1
    nul = structure.holding(0)
    data, line, after = list[bytes](), list[NDArray[np.int64]](), 0
    for record in np.flatnonzero(suspects | nul).tolist():
        data.append(structure.between(after, record))
        line.append(structure.line[after:record])
        after = record + 1
        text, number = structure.record(record), int(structure.line[record])
        whole = () if nul[record] else _as_wide(text, structure, dialect)
        if not whole and (nul[record] or text.strip()):
            last = cut and after == len(structure.line)
            kind = NUL_BYTE if nul[record] else TRUNCATED_LAST_LINE if last else WRONG_FIELD_COUNT
            bad.append((kind, [(number, shown(text, structure, dialect))]))
        data.extend(whole)
        line.append(np.full(len(whole), number))
    data.append(structure.between(after, len(structure.line)))
    line.append(structure.line[after:])
    return structure_of(Piece(b"".join(data), structure.quoted, np.concatenate(line)), structure.separator)


def _as_wide(text: bytes, structure: Structure, dialect: Dialect) -> tuple[bytes, ...]:
    """Return the records, each ended by a newline, into which a record with a wrong number of fields can be mended: one
    with too many or too few empty fields at its end, or several separated by carriage returns."""
    separator, width = bytes((structure.separator,)), dialect.width
    if not text.strip():
        return ()
    if b"\r" in text.rstrip(b"\r") and b'"' not in text:
        parts = text.replace(b"\r\n", b"\r").strip(b"\r").split(b"\r")
        sound = [part + b"\n" for part in parts if part.count(separator) + 1 == width]
        return tuple(sound) if len(sound) == len(parts) else ()
    content = text.rstrip(b"\r")
    count = int(structure_of(Piece(content + b"\n", structure.quoted), structure.separator).num_fields()[0])
    surplus = count - width
    if surplus > 0 and content.endswith(separator * surplus):
        return (content[: len(content) - surplus] + b"\n",)
    named = max((index + 1 for index, name in enumerate(dialect.names) if name), default=0)
    return (content + separator * -surplus + b"\n",) if named <= count < width else ()


def readable(structure: Structure, bad: list[Bad]) -> Structure:
    """Return the records that are UTF-8; others go to `bad`."""
    data, keep = list[bytes](), np.ones(len(structure.line), dtype=np.bool_)
    for record in range(len(structure.line)):
        text = structure.record(record)
        try:
            text.decode("utf-8")
            data.append(text + b"\n")
        except UnicodeDecodeError:
            keep[record] = False
            bad.append((NOT_UTF8, [(int(structure.line[record]), text.decode("utf-8", "replace").rstrip("\r"))]))
    if keep.all():
        return structure
    return structure_of(Piece(b"".join(data), structure.quoted, structure.line[keep]), structure.separator)


def shown(text: bytes, structure: Structure, dialect: Dialect) -> str:
    """Return the text of a record as in the file."""
    if len(dialect.separator) > 1:
        text = text.replace(bytes((structure.separator,)), dialect.separator.encode())
    return text.decode("utf-8", "replace").rstrip("\r")
