"""Delimited text as blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from segue.data.ahead import worked_ahead
from segue.data.records.block import RecordBlock, check_columns
from segue.data.records.dialect import PROBED, Dialect, dialect_of, ends_by_return
from segue.data.records.member import Member
from segue.data.records.opened import opened
from segue.data.records.parsing import Parsed, parsed
from segue.data.records.pieces import pieces_of, with_newlines
from segue.data.records.utf8_text import utf8_chunks
from segue.data.rejects import REPEATED_HEADER, Rejects
from segue.data.sources.source import Sample
from segue.errors import InputError

BLOCK_BYTES = 1 << 24
"""Bytes of text parsed at once: 16 MiB."""
_FORMS: Final[dict[Any, str]] = {
    pl.Boolean: r"^(true|false)$",
    pl.Int64: r"^-?\d{1,18}$",
    pl.Float64: r"^-?\d{1,18}(\.\d+)?$",
}
"""Text of values of a Polars type."""
HEAD_BYTES: Final = 1 << 20
"""Bytes from which the dialect is detected."""


def delimited_sample(member: Member) -> Sample:
    """Return the beginning of a delimited file; `columns` is empty for an empty file.

    Raises:
        InputError: a header that cannot be read.
    """
    head, whole, _ = _head(member)
    dialect = dialect_of(head, member.name, whole=whole)
    if not dialect.columns:
        return Sample(member.name, "delimited", (), pl.DataFrame(), preamble=dialect.preamble)
    blocks = [parsed(piece, dialect, dialect.columns) for piece in pieces_of([head], dialect, member.name, whole=whole)]
    empty = pl.DataFrame(schema=dict.fromkeys(dialect.columns, pl.String))
    first = pl.concat([empty, *(block.frame for block in blocks)]).head(PROBED)
    return Sample(member.name, "delimited", dialect.columns, first, dialect.headed, dialect.preamble)


def delimited_blocks(
    member: Member, wanted: Sequence[str], rejects: Rejects, values: Collection[str] = ()
) -> Iterator[RecordBlock]:
    """Yield the records of a delimited file, columns `wanted` only; bad lines go to `rejects`.

    Columns are String; one named in `values` is a number or a flag in blocks where all its values are.

    Raises:
        InputError: a file without records, or without one of the columns.
    """
    head, whole, by_return = _head(member)
    dialect = dialect_of(head, member.name, whole=whole)
    _check(member, dialect, ended=whole and dialect.start >= len(head))
    check_columns(member.name, wanted, dialect.columns)
    types = _types(head, dialect, member.name, values)
    work = partial(parsed, dialect=dialect, wanted=wanted or dialect.columns, types=types)
    line, num_blocks = dialect.line, 0
    with opened(member) as handle:
        chunks = utf8_chunks(handle, member.name, BLOCK_BYTES)
        chunks = with_newlines(chunks) if by_return else chunks
        for part in worked_ahead(work, pieces_of(chunks, dialect, member.name)):
            for kind, rows in part.bad:
                rejects.add(kind, member.name, [(number + line, text) for number, text in rows])
            rejects.note(REPEATED_HEADER, part.num_headers)
            if part.frame.height:
                yield _block(part, line)
                num_blocks += 1
            line += part.num_lines
    if not num_blocks:
        empty = pl.DataFrame(schema=dict.fromkeys(wanted or dialect.columns, pl.String))
        yield RecordBlock(empty, np.zeros(0, np.int64))


def _block(part: Parsed, first: int) -> RecordBlock:
    """Return the parsed records of a piece whose first line is `first`."""
    return RecordBlock(part.frame, part.line + first, lambda lines: part.texts(lines - first))


def _types(head: bytes, dialect: Dialect, name: str, columns: Collection[str]) -> dict[str, Any]:
    """Return the type of each column whose first values are all numbers, or all flags."""
    names = [column for column in columns if column in dialect.columns]
    begun = head[: head.rfind(b"\n") + 1]
    pieces = pieces_of([begun], dialect, name) if names else iter(())
    first = next((parsed(piece, dialect, names).frame.head(PROBED) for piece in pieces), pl.DataFrame())
    types: dict[str, Any] = {}
    for column in first:
        values = column.drop_nulls()
        for dtype, form in _FORMS.items():
            if len(values) and values.str.contains(form).all():
                types[column.name] = dtype
                break
    return types


def _head(member: Member) -> tuple[bytes, bool, bool]:
    """Return the first bytes of the text, whether they are the whole text, and whether a carriage return alone ends its
    lines; then those of the result end by a newline."""
    head, whole = b"", True
    with opened(member) as handle:
        for chunk in utf8_chunks(handle, member.name, HEAD_BYTES):
            head += chunk
            if len(head) >= HEAD_BYTES:
                whole = False
                break
    by_return = ends_by_return(head, whole=whole)
    return b"".join(with_newlines([head])) if by_return else head, whole, by_return


def _check(member: Member, dialect: Dialect, *, ended: bool) -> None:
    if not dialect.cells:
        raise InputError(f"{member.name} is empty; name a file with records")
    if not dialect.columns:
        raise InputError(f"{member.name} line {dialect.line - 1}: a header without names; name its columns")
    if ended and dialect.headed:
        raise InputError(f"{member.name} is empty; it has a header and no records below it")
