"""A log file of more rows than memory should hold: spilled as it is read, given back by whole sessions.

Where every session is one run of rows, the stretches read are given back as they are. Else the rows are dealt by their
session's key into parts, each part is sorted into its sessions, and what is given back at once takes from every part
the sessions that begin within the same lines. No more than a stretch, or a few parts, is in memory at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.events.keys import SeenKeys, grouped, stable_order
from segue.events.sources.ahead import worked_ahead
from segue.events.spilled import Spilled

MOST_ROWS: Final = 6_000_000
"""Rows of a file that are held in memory; one with more is spilled."""
STRETCH_ROWS: Final = 1 << 21
"""Rows spilled at once, and (about) rows given back at once."""
LINE: Final = "__line__"
"""Name of the spilled column of lines."""
_KEY: Final = "__key__"
_LENGTH: Final = "__length__"
_FIRST: Final = "__first__"
"""Names of what is spilled by run or session: key, rows, first line."""
_PARTS: Final = 64
_PART_SHIFT: Final = np.uint64(58)
_BINS: Final = 1 << 16
"""Stretches of lines told apart where sessions are cut into pieces of about `STRETCH_ROWS` rows."""
_AHEAD: Final = 3
"""Parts in work or waiting at once, and pieces less one."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of a file, by runs of one session each."""

    key: NDArray[np.uint64]
    """Session key of each run."""
    length: NDArray[np.int32]
    """Rows of each run."""
    values: dict[str, NDArray[Any]]
    """Columns [rows]; `LINE` is the line of each."""

    def cut(self) -> tuple[Stretch, Stretch]:
        """Return all runs but the last, which may go on, and that one."""
        row = int(self.length[:-1].sum())
        return (
            Stretch(self.key[:-1], self.length[:-1], {name: values[:row] for name, values in self.values.items()}),
            Stretch(
                self.key[-1:], self.length[-1:], {name: values[row:].copy() for name, values in self.values.items()}
            ),
        )


def joined(stretches: list[Stretch]) -> Stretch:
    """Return stretches laid end to end; each column is taken out of theirs, runs that go on are made one."""
    key = np.concatenate([stretch.key for stretch in stretches])
    length = np.concatenate([stretch.length for stretch in stretches])
    start = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    names = list(stretches[-1].values)
    return Stretch(
        key[start],
        np.add.reduceat(length, start, dtype=np.int32) if len(start) else length,
        {name: np.concatenate([stretch.values.pop(name) for stretch in stretches]) for name in names},
    )


@dataclass(frozen=True)
class Sessions:
    """Whole sessions; the rows of each are in file order."""

    key: NDArray[np.uint64]
    """Key of each session code, in order of first appearance in the file."""
    session: NDArray[np.int32]
    """Session code of each row."""
    values: dict[str, NDArray[Any]]
    """Columns [rows]."""


@dataclass(frozen=True)
class _Dealt:
    """A stretch spilled with its rows sorted by part."""

    spilled: Spilled
    bounds: NDArray[np.int64]
    """First row of each part, and the number of rows."""

    def load(self, name: str, part: int) -> NDArray[Any]:
        return self.spilled.load(name, int(self.bounds[part]), int(self.bounds[part + 1]))


class LargeFile:
    """Takes the rows of one file stretch by stretch, and gives them back by whole sessions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = SeenKeys()
        self._in_runs = True
        self._runs: list[Spilled] = []
        self._dealt: list[_Dealt] = []
        self._files = itertools.count()

    def add(self, stretch: Stretch) -> None:
        """Take the next rows."""
        if self._in_runs:
            keys = np.sort(stretch.key)
            self._in_runs = not ((keys[1:] == keys[:-1]).any() or self._seen.known(keys).any())
            self._seen.add(keys)
        if self._in_runs:
            arrays: dict[str, NDArray[Any]] = {_KEY: stretch.key, _LENGTH: stretch.length, **stretch.values}
            self._runs.append(Spilled.write(self._file(), arrays))
        else:
            self._dealt.append(self._deal(stretch))

    def sessions(self) -> Iterator[Sessions]:
        """Yield the rows taken, all of a session at once, sessions in order of first appearance."""
        if self._in_runs:
            yield from worked_ahead(_as_read, self._runs, most=_AHEAD)
            return
        dealt = [self._deal(_stretch(spilled)) for spilled in self._runs] + self._dealt
        tasks = ((dealt, part, self._file()) for part in range(_PARTS))
        parts = list(worked_ahead(_sorted_part, tasks, most=_AHEAD))
        for each in dealt:
            each.spilled.file.unlink()
        pieces = ((parts, low, high) for low, high in itertools.pairwise(_cuts(parts)))
        yield from worked_ahead(_piece, pieces, most=_AHEAD - 1)

    def remove(self) -> None:
        """Remove what was spilled."""
        for file in self._folder.iterdir():
            file.unlink()

    def _file(self) -> Path:
        self._folder.mkdir(exist_ok=True)
        return self._folder / f"{next(self._files):05d}"

    def _deal(self, stretch: Stretch) -> _Dealt:
        key = np.repeat(stretch.key, stretch.length)
        part = (key >> _PART_SHIFT).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        arrays = {name: values[order] for name, values in {_KEY: key, **stretch.values}.items()}
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(part, minlength=_PARTS))])
        return _Dealt(Spilled.write(self._file(), arrays), bounds)


def _stretch(spilled: Spilled) -> Stretch:
    values = {name: spilled.load(name) for name in spilled.places if name not in (_KEY, _LENGTH)}
    return Stretch(spilled.load(_KEY), spilled.load(_LENGTH), values)


def _as_read(spilled: Spilled) -> Sessions:
    stretch = _stretch(spilled)
    codes = np.arange(len(stretch.key), dtype=np.int32)
    return Sessions(stretch.key, np.repeat(codes, stretch.length), stretch.values)


def _sorted_part(task: tuple[list[_Dealt], int, Path]) -> Spilled:
    """Spill one part sorted by session, sessions in order of first appearance."""
    dealt, part, file = task
    session, key = grouped(np.concatenate([each.load(_KEY, part) for each in dealt]))
    order = stable_order(session)
    length = np.bincount(session, minlength=len(key))
    arrays = {_KEY: key, _LENGTH: length}
    for name in dealt[0].spilled.places:
        if name != _KEY:
            arrays[name] = np.concatenate([each.load(name, part) for each in dealt])[order]
    arrays[_FIRST] = arrays[LINE][np.cumsum(length) - length]
    return Spilled.write(file, arrays)


def _cuts(parts: list[Spilled]) -> list[int]:
    """Return lines so that about `STRETCH_ROWS` rows are of sessions that begin from one up to the next."""
    last = max(int(part.load(_FIRST).max(initial=0)) for part in parts)
    width = last // _BINS + 1
    rows = np.zeros(_BINS, np.int64)
    for part in parts:
        rows += np.bincount(part.load(_FIRST) // width, part.load(_LENGTH), _BINS).astype(np.int64)
    piece = (np.cumsum(rows) - rows) // STRETCH_ROWS
    return [0, *((np.flatnonzero(np.diff(piece)) + 1) * width).tolist(), last + 1]


def _piece(task: tuple[list[Spilled], int, int]) -> Sessions:
    """Return the sessions that begin from line `low` up to line `high`."""
    parts, low, high = task
    found: dict[str, list[NDArray[Any]]] = {}
    for part in parts:
        first, ends = part.load(_FIRST), np.cumsum(part.load(_LENGTH))
        a, b = np.searchsorted(first, (low, high)).tolist()
        begin, end = (int(ends[place - 1]) if place else 0 for place in (a, b))
        for name in part.places:
            bounds = (a, b) if name in (_KEY, _LENGTH, _FIRST) else (begin, end)
            found.setdefault(name, []).append(part.load(name, *bounds))
    values = {name: np.concatenate(found.pop(name)) for name in list(found)}
    order = np.argsort(values.pop(_FIRST))
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Sessions(values.pop(_KEY)[order], np.repeat(rank, values.pop(_LENGTH)), values)
