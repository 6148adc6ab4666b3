"""A file read as the package reads it: all of its records, where they stand, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from segue.data.records.member import Member, find_members
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import Rejects
from segue.data.sources.source import Sample


@dataclass(frozen=True)
class Read:
    """What a file gave."""

    sample: Sample
    frame: pl.DataFrame
    line: list[int]
    rejects: Rejects

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """Its records."""
        return self.frame.rows()

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by kind."""
        return dict(self.rejects.counts)


def read_member(member: Member, wanted: Sequence[str] = ()) -> Read:
    """Return all records of one file."""
    sample = sample_of(member)
    rejects = Rejects(member.path.with_name("rejected.csv"))
    blocks = list(blocks_of(member, sample, wanted, rejects))
    rejects.close()
    line = np.concatenate([block.line for block in blocks]).tolist() if blocks else []
    assert all(len(block.line) == block.frame.height for block in blocks)
    frame = pl.concat([block.frame for block in blocks], how="diagonal") if blocks else sample.first.clear()
    return Read(sample, frame, line, rejects)


def read_file(path: Path, wanted: Sequence[str] = ()) -> Read:
    """Return all records of a path that names one file."""
    (member,) = find_members([path])
    return read_member(member, wanted)


def read_bytes(folder: Path, data: bytes, name: str = "log.csv", wanted: Sequence[str] = ()) -> Read:
    """Return all records of a file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return read_file(path, wanted)
