"""The rows of one block of an MSSD log: typed at once where every line proves sound, else line by line.

Sound text is parsed straight into numbers and flags (half the cost of text that is compared afterwards). Polars alone
would read ` 7` as 7 and drop surplus fields; so the block must hold one newline a row and no other byte up to the
space, `columns - 1` separators a row, and no null. What fails any of it is read as text and judged row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.events.keys import text_keys
from segue.events.rejects import (
    CONTRADICTORY_FLAGS,
    MISSING_POSITION,
    MISSING_SESSION,
    MISSING_TRACK,
    WRONG_COLUMN,
    WRONG_FLAG,
    HeldRejects,
)
from segue.events.skips import BRIEFLY, MOSTLY, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY
from segue.events.sources.text import Block, Layout, count_bytes, num_lines, parse_block
from segue.events.table import shared_codes

_SESSION, _POSITION, _, _TRACK, *_FLAGS = columns.MSSD_LOG[:8]
_SHUFFLE: Final = "hist_user_behavior_is_shuffle"
_HOUR: Final = "hour_of_day"
_DATE: Final = "date"
_PREMIUM: Final = "premium"
_CONTEXT: Final = "context_type"
WANTED: Final = (_SESSION, _POSITION, _TRACK, *_FLAGS, _SHUFFLE, _HOUR, _DATE, _PREMIUM, _CONTEXT)
"""The columns read; the last column of the file is read too, to see that it is there."""
_NUMBERS: Final = {_POSITION: pl.Int16, _HOUR: pl.UInt8, **dict.fromkeys((*_FLAGS, _SHUFFLE, _PREMIUM), pl.Boolean)}
_LAST_HOUR: Final = 23
MOST_CONTEXTS: Final = 255
"""Context types of a file; the code after the last stands for all that are too many."""
_SPACE: Final = 32
_BAD_KINDS: Final = (MISSING_SESSION, MISSING_TRACK, MISSING_POSITION, WRONG_FLAG, CONTRADICTORY_FLAGS, WRONG_COLUMN)
_CONTRADICTORY: Final = 254
_STRENGTH: Final = np.full(16, _CONTRADICTORY, np.uint8)
"""Strength by skip_1 + 2 skip_2 + 4 skip_3 + 8 not_skipped; every other sum contradicts itself."""
_STRENGTH[[7, 6, 4, 8, 0]] = VERY_BRIEFLY, BRIEFLY, MOSTLY, TO_ITS_END, UNKNOWN_STRENGTH


@dataclass(frozen=True)
class Codes:
    """What keeps the codes of one file: its blocks give the same code to the same text."""

    track: pl.Series
    """One for all files."""
    context: pl.Series = field(default_factory=lambda: shared_codes("context"))


@dataclass(frozen=True)
class Rows:
    """The sound rows of one block, in file order; sessions by runs of consecutive rows."""

    key: NDArray[np.uint64]
    """Key of the session of each run."""
    length: NDArray[np.int32]
    """Rows of each run."""
    values: dict[str, NDArray[Any]]
    """Track code, context code, position, strength, shuffle, hour, premium, date (days), by column of the store."""
    line: NDArray[np.int64] | None
    """Line of each row, the block's first is 0; None where every line is a row."""
    num_lines: int
    held: HeldRejects


def block_rows(data: bytes, layout: Layout, codes: Codes, name: str) -> Rows:
    """Return the rows of the lines `data` of file `name`; bad ones are held.

    Raises:
        InputError: the block is no text.
    """
    held = HeldRejects()
    frame = _proven(data, layout)
    if frame is not None:
        return _rows(frame, None, frame.height, codes, held)
    frame, line = _judged(parse_block(data, layout, WANTED, name, held), held)
    return _rows(frame, line, num_lines(data), codes, held)


def _rows(frame: pl.DataFrame, line: NDArray[np.int64] | None, lines: int, codes: Codes, held: HeldRejects) -> Rows:
    sessions, length = _runs(frame[_SESSION])
    contexts, context_length = _runs(frame[_CONTEXT])
    context = contexts.cast(codes.context.dtype).to_physical().to_numpy()
    values = {columns.STRENGTH: columns.STRENGTH, columns.SHUFFLE: _SHUFFLE, columns.HOUR: _HOUR}
    values |= {columns.POSITION: _POSITION, columns.PREMIUM: _PREMIUM, columns.DATE: _DATE}
    return Rows(
        key=text_keys(sessions),
        length=length,
        values={
            columns.TRACK: frame[_TRACK].cast(codes.track.dtype).to_physical().to_numpy().view(np.int32),
            columns.CONTEXT_TYPE: np.repeat(np.minimum(context, MOST_CONTEXTS).astype(np.uint8), context_length),
            **{name: frame[column].to_numpy() for name, column in values.items()},
        },
        line=line,
        num_lines=lines,
        held=held,
    )


def _runs(texts: pl.Series) -> tuple[pl.Series, NDArray[np.int32]]:
    """Return the text of each run of equal texts, and its length."""
    start = (texts != texts.shift(1)).fill_null(True)
    length = np.diff(np.flatnonzero(start.to_numpy()), append=len(texts))
    return texts.filter(start), length.astype(np.int32)


def _proven(data: bytes, layout: Layout) -> pl.DataFrame | None:
    """Return the block typed, strength and days in place, where every line is sound; None where any may not be."""
    if not data.endswith(b"\n"):
        return None
    names = set(WANTED) | {layout.header[-1]}
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema={name: _NUMBERS.get(name, pl.String) for name in layout.header},
            columns=[i for i, name in enumerate(layout.header) if name in names],
            separator=layout.separator,
            quote_char=None,
        )
    except pl.exceptions.PolarsError:
        return None
    separators = frame.height * (len(layout.header) - 1)
    whole = count_bytes(data, np.less_equal, _SPACE) == frame.height
    whole = whole and count_bytes(data, np.equal, ord(layout.separator)) == separators
    if not whole or any(column.null_count() for column in frame):
        return None
    strength, days = _strength(frame), _days(frame[_DATE])
    wrong = (strength == _CONTRADICTORY).any() or days.null_count() or frame[_HOUR].to_numpy().max() > _LAST_HOUR
    return None if wrong else frame.with_columns(pl.Series(columns.STRENGTH, strength), days)


def _strength(frame: pl.DataFrame) -> NDArray[np.uint8]:
    """Return the strength of each row's four flags (Boolean, without nulls)."""
    code = np.zeros(frame.height, np.uint8)
    for place, name in enumerate(_FLAGS):
        code |= frame[name].to_numpy().view(np.uint8) << np.uint8(place)
    return _STRENGTH[code]


def _days(dates: pl.Series) -> pl.Series:
    """Return days since 1970-01-01, Int32; null where a date is no yyyy-mm-dd."""
    return dates.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32)


def _judged(block: Block, held: HeldRejects) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return the sound rows of a block of text, typed, and their lines; bad ones go to `held`.

    Flags are `true` and `false` in any letter case.
    """
    flags = (*_FLAGS, _SHUFFLE, _PREMIUM)
    text = block.frame.with_columns(pl.col(flags).str.to_lowercase())
    known = {name: text[name].is_in(["true", "false"]).fill_null(False).to_numpy() for name in flags}
    frame = text.with_columns(
        pl.col(_POSITION).cast(pl.Int32, strict=False),
        pl.col(_HOUR).cast(pl.UInt8, strict=False),
        (pl.col(flags) == "true").fill_null(False),
        _days(text[_DATE]),
    )
    strength, position, hour = _strength(frame), frame[_POSITION].is_null(), frame[_HOUR]
    wrong = position | frame[_DATE].is_null() | frame[_CONTEXT].is_null() | (hour > _LAST_HOUR).fill_null(True)
    bad = (
        frame[_SESSION].is_null().to_numpy(),
        frame[_TRACK].is_null().to_numpy(),
        text[_POSITION].is_null().to_numpy(),
        ~np.logical_and.reduce([known[name] for name in _FLAGS]),
        strength == _CONTRADICTORY,
        wrong.to_numpy() | ~known[_SHUFFLE] | ~known[_PREMIUM],
    )
    whole = np.logical_or.reduce(bad)
    kind = np.argmax(np.stack(bad), axis=0)
    for index, label in enumerate(_BAD_KINDS):
        rows = np.flatnonzero(whole & (kind == index))
        if len(rows):
            held.add(label, block.texts(rows))
    frame = frame.with_columns(pl.Series(columns.STRENGTH, strength))
    return frame.filter(pl.Series(~whole)), block.line[~whole]
