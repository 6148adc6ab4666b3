"""A corpus is a mapping: which column of a record plays which role, and how it is spelled."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeVar

import polars as pl

AnyColumn = TypeVar("AnyColumn", bound="Column")
WRONG: Final = 254
"""A flag or a strength that is none: its record is rejected."""
CONTRADICTORY: Final = 253
"""Flags that contradict one another: their record is rejected."""


@dataclass(frozen=True)
class Column:
    """A value of a record."""

    value: pl.Expr
    """Over the columns of a block."""
    name: str
    """What messages call it: the column as the file has it."""

    @classmethod
    def of(cls: type[AnyColumn], name: str) -> AnyColumn:
        """Return the column called `name`."""
        return cls(pl.col(name), name)

    def reads(self) -> list[str]:
        """Return the columns of the file that it is made of."""
        return self.value.meta.root_names()


@dataclass(frozen=True)
class Time(Column):
    """When a play began or ended: epoch numbers or a date and time as text."""

    unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Of numbers; 'auto' = the one that gives plausible years."""
    step: float = 1.0
    """Units a number counts (Yambda: 5 s)."""
    ends: bool = False
    """True where it is the end of the play."""


@dataclass(frozen=True)
class Amount(Column):
    """A length of time, of a track or of what was played of it; or that share itself."""

    unit: Literal["s", "ms", "text", "percent"] = "s"
    """Of numbers; 'text' = minutes:seconds or hours:minutes:seconds, 'percent' = of the share, which has no other."""


@dataclass(frozen=True)
class Mapping:
    """Roles of one corpus, over the columns that a file has."""

    time: Time | None = None
    track: Column | None = None
    """Track id; None, or null in a record: the folded (artist, title) is the identity."""
    title: Column | None = None
    artist: Column | None = None
    album: Column | None = None
    listener: Column | None = None
    """None: one listener a log."""
    session: Column | None = None
    """None: sessions are cut out of each listener's history."""
    position: Column | None = None
    """Order within the session; None: by time, then by file order."""
    length: Amount | None = None
    """Of the track."""
    played: Amount | None = None
    """Time played."""
    share: Column | None = None
    """Share of the track that was played, 1 = whole (may exceed 1)."""
    told: Column | None = None
    """Strength that the source states: 0..3 as UInt8, null where it states none, WRONG or
    CONTRADICTORY where its values say nothing."""
    opinion: Column | None = None
    """What the listener thinks of the track, apart from this play: a strength as in `told`. It counts where the play is
    neither told nor measured."""
    left_out: Column | None = None
    """What a record is where it is no track ('podcast', 'video'): text, null = a track. Left out and counted."""
    side: AnyMapping[str, Column] = field(default_factory=dict)
    """Further event columns by name."""
    exact_ids: bool = False
    """True where ids stand letter for letter, so that 'NaN', ' ' and '12.0' are ids; only an empty one is missing."""
    unique_positions: bool = False
    """True where a position stands once in its session: the record on a later line is rejected."""
    typed_columns: tuple[str, ...] = ()
    """Columns whose roles take numbers and flags as well as text; besides those that are a position, a time or an
    amount as they stand."""
    newest_first: bool = False
    """True where files hold the newest play first, so that plays of equal time stand in reverse order."""

    def read_of(self, columns: Sequence[str]) -> list[str]:
        """Return those of a file's columns that are read, in its order."""
        values = [getattr(self, each.name) for each in fields(self)]
        roles = [value for value in values if isinstance(value, Column)]
        names = {name for role in (*roles, *self.side.values()) for name in role.reads()}
        return [name for name in columns if name in names]

    def values_of(self, columns: Sequence[str]) -> list[str]:
        """Return those of a file's columns that may be read as numbers or flags, where all of their values are."""
        amounts = (self.position, self.time, self.length, self.played, self.share)
        values = {name for role in amounts if role is not None and role.value.meta.is_column() for name in role.reads()}
        names = (self.track, self.session, self.listener, self.title, self.artist, *self.side.values())
        texts = {name for role in names if role is not None for name in role.reads()}
        return [name for name in columns if name in self.typed_columns or name in values - texts]
