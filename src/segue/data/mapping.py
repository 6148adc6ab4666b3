"""The mapping of a corpus: which column of a record has which role, and its units."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeVar

import polars as pl

from segue.data.side_columns import SIDE
from segue.errors import InputError

AnyColumn = TypeVar("AnyColumn", bound="Column")
WRONG: Final = 254
"""Stands for an invalid flag or strength; the record is rejected."""
CONTRADICTORY: Final = 253
"""Stands for flags that contradict one another; the record is rejected."""

_NESTED: Final = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object)
_NO_TEXT: Final = (*_NESTED, pl.Duration)
"""Types that cannot be an id, text or flag."""
_NO_TIME: Final = (*_NO_TEXT, pl.Boolean, pl.Time)
_NO_AMOUNT: Final = (*_NESTED, pl.Boolean, pl.Date, pl.Datetime, pl.Time)
_NO_NUMBER: Final = (*_NO_AMOUNT, pl.Duration)
_REFUSED: Final[AnyMapping[str, tuple[Any, ...]]] = {
    "time": _NO_TIME,
    "played": _NO_AMOUNT,
    "length": _NO_AMOUNT,
    "share": _NO_NUMBER,
    "position": _NO_NUMBER,
}
"""Types that a role cannot have; other roles refuse _NO_TEXT."""


@dataclass(frozen=True)
class Column:
    """A value of a record."""

    value: pl.Expr
    """Over the columns of a block."""
    name: str
    """Name of the file's column, for messages."""

    @classmethod
    def of(cls: type[AnyColumn], name: str) -> AnyColumn:
        """Return the column called `name`."""
        return cls(pl.col(name), name)

    def reads(self) -> list[str]:
        """Return the columns of the file that the value is computed from."""
        return self.value.meta.root_names()


@dataclass(frozen=True)
class Time(Column):
    """When a play began or ended: epoch numbers or a date and time as text."""

    unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Of numbers; 'auto' = the unit that gives plausible years."""
    dated: bool = True
    """False if times count from a moment that nobody knows: then no year is implausible."""
    ends: bool = False
    """True if it is the end of the play."""


@dataclass(frozen=True)
class Amount(Column):
    """A length of time, of a track or of the part that was played; or the share that was played."""

    unit: Literal["s", "ms", "text", "percent"] = "s"
    """Of numbers; 'text' = minutes:seconds or hours:minutes:seconds; 'percent' = a share."""


@dataclass(frozen=True)
class Mapping:
    """Roles of one corpus over the columns of a file."""

    time: Time | None = None
    track: Column | None = None
    """Track id; without one the folded (artist, title) identifies the track."""
    title: Column | None = None
    artist: Column | None = None
    album: Column | None = None
    listener: Column | None = None
    """None: the log has one listener."""
    session: Column | None = None
    """None: each listener's history is cut into sessions."""
    position: Column | None = None
    """Order within the session; None: by time, then by file order."""
    length: Amount | None = None
    """Of the track."""
    played: Amount | None = None
    """Time played."""
    share: Column | None = None
    """Share of the track that was played, 1 = whole (may exceed 1)."""
    stated: Column | None = None
    """Strength that the source states: UInt8 0..3, null = none, WRONG or CONTRADICTORY for invalid values."""
    opinion: Column | None = None
    """The listener's opinion of the track, apart from this play: a strength as in `stated`. It counts if the play is
    neither stated nor measured."""
    left_out: Column | None = None
    """Kind of a record that is not a track ('podcast', 'video'): text, null = a track. Left out and counted."""
    side: AnyMapping[str, Column] = field(default_factory=dict)
    """Further event columns by name."""
    exact_ids: bool = False
    """True if ids are taken literally: 'NaN', ' ' and '12.0' are ids, and only an empty id is missing."""
    unique_positions: bool = False
    """True if a position occurs once per session: a record on a later line is rejected."""
    typed_columns: tuple[str, ...] = ()
    """Columns whose roles take numbers and flags as well as text, besides positions, times and amounts."""
    newest_first: bool = False
    """True if files have the newest play first, so that plays of equal time are in reverse order."""

    def roles(self) -> dict[str, Column]:
        """Return the mapped columns by role; the role of a side column is its name after `SIDE`."""
        roles = {each.name: getattr(self, each.name) for each in fields(self)}
        roles = {role: column for role, column in roles.items() if isinstance(column, Column)}
        return roles | {f"{SIDE}{name}": column for name, column in self.side.items()}

    def read_of(self, columns: Sequence[str]) -> list[str]:
        """Return the columns of a file that are read, in its order."""
        names = {name for column in self.roles().values() for name in column.reads()}
        return [name for name in columns if name in names]

    def values_of(self, columns: Sequence[str]) -> list[str]:
        """Return the columns of a file that may be parsed as numbers or flags."""
        amounts = (self.position, self.time, self.length, self.played, self.share)
        values = {name for role in amounts if role is not None and role.value.meta.is_column() for name in role.reads()}
        names = (self.track, self.session, self.listener, self.title, self.artist, *self.side.values())
        texts = {name for role in names if role is not None for name in role.reads()}
        return [name for name in columns if name in self.typed_columns or name in values - texts]

    def check(self, frame: pl.DataFrame, file: str) -> None:
        """Refuse a file whose columns do not fit their roles; text, as in a CSV, is checked record by record.

        Raises:
            InputError: there is no column for the track, or for the time of a history; or a column has a type that its
                role cannot have.
        """
        lacking = ["the track"] if self.track is None and self.title is None else []
        lacking += ["the time of a play"] if self.session is None and self.time is None else []
        if lacking:
            there = ", ".join(name for name in frame.columns if not name.startswith("__")) or "none"
            raise InputError(f"{file} has no column for {' and '.join(lacking)}; its columns: {there}. Is it complete?")
        for role, column in self.roles().items():
            for name in column.reads():
                kind = frame.schema.get(name)
                if isinstance(kind, _REFUSED.get(role, _NO_TEXT)):
                    raise InputError(f"{file}: column {name!r} is of type {kind}; write it as text or numbers")
