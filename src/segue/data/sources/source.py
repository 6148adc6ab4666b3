"""What a source is: how its files are recognised, and the mapping of their columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from segue.data.mapping import Mapping

Kind = Literal["delimited", "json", "parquet", "xlsx", "sqlite"]


@dataclass(frozen=True)
class Sample:
    """The beginning of a file, as `recognise` sees it."""

    name: str
    """Of the file below what was named, with '/'."""
    kind: Kind
    columns: tuple[str, ...]
    """Of the header or of the first records; numbers from 0 as text ("0", "1", ...) where a file has no header."""
    first: pl.DataFrame
    """Some first records (at most 100), as blocks have them."""
    headed: bool = True
    """False where the first line of a delimited file is a record already."""
    preamble: tuple[str, ...] = ()
    """Leading lines of a delimited file that begin with '#', without their line ends; they are no records."""


@dataclass(frozen=True)
class Beside:
    """What lies beside the files of a log and belongs to it."""

    track_files: tuple[Path, ...] = ()
    """Track tables."""
    oracle: Path | None = None
    """The simulator's truth of each event."""
    simulation: Path | None = None
    """What was simulated; a log with it is marked as simulated."""


@dataclass(frozen=True)
class OpinionFiles:
    """Where a source says what listeners think of tracks, apart from plays; `segue.data.opinions` joins it to them."""

    files: tuple[str, ...]
    """Patterns of the names of files that hold opinions alone."""
    columns: tuple[str, ...]
    """What these files have; one that lacks any is none of them."""
    read: Callable[[pl.DataFrame, str], pl.DataFrame]
    """Returns the opinions among records of the file called so, after the source's `prepare`: the columns of
    `opinions.SCHEMA`, with any id of the track. A record may give several or none."""
    among_plays: str | None = None
    """Column of a file of plays by which opinions stand among them; their records are left out as plays."""


@dataclass(frozen=True)
class Source:
    """One corpus."""

    name: str
    """What `segue prepare NAME` is called with."""
    title: str
    """For people: 'Spotify, extended streaming history'."""
    where: str
    """Where a file comes from, one sentence."""
    licence: str
    """What may be done with it, one sentence."""
    notes: tuple[str, ...]
    """Quirks, one sentence each; for `segue sources show`."""
    files: tuple[str, ...]
    """Patterns of file names (fnmatch, letter case ignored) that are read inside a folder or an archive."""
    recognise: Callable[[Sample], str | None]
    """Returns why a file is of this source ('21 of 21 columns of ...'), or None."""
    mapping: Callable[[tuple[str, ...]], Mapping]
    """Returns the roles of a file with these columns."""
    needs: tuple[str, ...] = ()
    """Columns without which a file is not of this source; a message names the one that is missing."""
    repeats: bool = False
    """True where exact duplicates are known to occur (overlapping exports): they are dropped and counted."""
    feedback: str = ""
    """How feedback is known, one sentence."""
    query: str | None = None
    """Of a SQLite file: the SELECT that gives the records, its columns named 'table.column'."""
    prepare: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    """Applied to each raw block before `mapping`, which gets the columns that it returns. One record may become
    several events or none; columns it does not know are kept, so that a numbering of the records survives."""
    whole: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    """Applied to all records of a file at once, after `prepare`, where records far apart belong together."""
    opinions: OpinionFiles | None = None
    aliases: Callable[[pl.DataFrame, Mapping], pl.DataFrame] | None = None
    """Returns the `alias`es of each `track` of some records (see `identities`): what other records of the log may name
    it by. The files are read twice."""
    companions: tuple[str, ...] = ()
    """Sources whose files may stand among those of this one, of the same listener: their plays between the first and
    the last of this one are in it, too, and left out."""
    beside: Callable[[Path], Beside] | None = None
    """Returns what lies beside the path that is named."""
    scale: tuple[float, float] | None = None
    """Lowest and highest value of the side column 'rating' of the mapping. A file that goes beyond is refused with the
    range seen: its numbers mean something else."""
    refused: str = ""
    """Why files of this source cannot be read, one sentence; empty where they can."""
