"""A source: how its files are recognised, and the mapping of their columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from segue.data.mapping import Mapping
from segue.data.sources import TITLES

Kind = Literal["delimited", "json", "parquet", "xlsx", "sqlite"]


@dataclass(frozen=True)
class Sample:
    """The beginning of a file, for `recognise`."""

    name: str
    """Path below the named folder or archive, with '/'."""
    kind: Kind
    columns: tuple[str, ...]
    """Of the header or of the first records; without a header numbers from 0 as text ("0", "1", ...)."""
    first: pl.DataFrame
    """The first records (at most 100), as in blocks."""
    headed: bool = True
    """False if the first line of a delimited file is a record."""
    preamble: tuple[str, ...] = ()
    """Leading comment lines of a delimited file ('#...'), without their line ends."""


@dataclass(frozen=True)
class Beside:
    """Files beside a log that belong to it."""

    track_files: tuple[Path, ...] = ()
    """Track tables."""
    oracle: Path | None = None
    """The simulator's truth of each event."""
    simulation: Path | None = None
    """Description of the simulation; a log with it is marked as simulated."""


@dataclass(frozen=True)
class OpinionFiles:
    """Where a source has opinions on tracks apart from plays; `segue.data.opinions` joins them to the plays."""

    files: tuple[str, ...]
    """Patterns of the names of files with opinions only."""
    columns: tuple[str, ...]
    """Columns that these files must have."""
    read: Callable[[pl.DataFrame, str], pl.DataFrame]
    """Returns the opinions in records of the named file, after the source's `prepare`: the columns of
    `opinions.SCHEMA`, with any id of the track. A record may give any number of opinions."""
    among_plays: str | None = None
    """Column that marks opinions in a file of plays; their records are left out as plays."""


@dataclass(frozen=True)
class Source:
    """One corpus."""

    name: str
    """NAME of `segue prepare NAME`."""
    where: str
    """Where to get a file, one sentence."""
    licence: str
    """Permitted use, one sentence."""
    notes: tuple[str, ...]
    """Quirks, one sentence each; for `segue sources show`."""
    files: tuple[str, ...]
    """Patterns (fnmatch, ignoring case) of the files that are read inside a folder or an archive."""
    recognise: Callable[[Sample], str | None]
    """Returns why a file belongs to this source ('21 of 21 columns of ...'), or None."""
    mapping: Callable[[tuple[str, ...]], Mapping]
    """Returns the roles of a file with these columns."""
    needs: tuple[str, ...] = ()
    """Required columns; a message names those that are missing."""
    repeats: bool = False
    """True if exact duplicates occur (overlapping exports); they are dropped and counted."""
    feedback: str = ""
    """Where feedback comes from, one sentence."""
    query: str | None = None
    """The SELECT that gives the records of a SQLite file, columns named 'table.column'."""
    prepare: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    """Applied to each raw block before `mapping`, which gets the resulting columns. One record may become any number
    of events; other columns must be kept, since they number the records."""
    whole: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    """Applied to all records of a file at once, after `prepare`, if distant records belong together."""
    opinions: OpinionFiles | None = None
    aliases: Callable[[pl.DataFrame, Mapping], pl.DataFrame] | None = None
    """Returns the aliases of each track in some records (see `identities`): other ids of it in the log. The files are
    read twice."""
    companions: tuple[str, ...] = ()
    """Sources of the same listener whose files may be among those of this one. Their plays between the first and the
    last play of this source are duplicates and left out."""
    beside: Callable[[Path], Beside] | None = None
    """Returns the files beside the named path."""
    scale: tuple[float, float] | None = None
    """Lowest and highest value of the side column 'rating'. A file outside the range is refused, since its numbers
    mean something else."""
    refused: str = ""
    """Why files of this source cannot be read, one sentence; empty if they can."""

    @property
    def title(self) -> str:
        """Title, such as 'Spotify, extended streaming history'."""
        return TITLES[self.name]
