"""The plays of a whole log, gathered block by block with ids as codes, and returned part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.codes import CodeCounts, IdCodes, coded_texts, codes_of, marked, ranked
from segue.data.plays import Plays, aligned
from segue.data.side_columns import SIDE, SideBuilder
from segue.data.spilled import InMemory, Spilled
from segue.data.strengths import lengths_seen
from segue.data.texts import odd_ids
from segue.data.track_tables import NamedTracks
from segue.store.writer import TrackTable

MOST_IN_MEMORY = 6_000_000
"""Most plays in memory, about 40 bytes each; with more, all go to scratch files."""
CHUNK_ROWS = 1 << 20
"""Plays of one scratch file."""
PART_ROWS = 1 << 19
"""Approximate plays of one part; those of one listener (or session) stay together."""
_TEXTS: Final = ("listener", "session", "track")
_OWNERS: Final = ("listener", "session")
_NAMES: Final = ("title", "artist", "album")
_LENGTH, _PLAYED = "length_s", "played_s"

Chunk = InMemory | Spilled


class Gathering:
    """Takes typed blocks and returns their plays in parts of whole listeners, or of whole sessions without listeners.

    Parts are in the order of the store: histories by listener in UTF-8 byte order, else by first appearance.
    """

    def __init__(self, folder: Path, side: Iterable[str]) -> None:
        self._folder = folder
        self.ids = {name: IdCodes(name, odd_ids) for name in _TEXTS}
        """Codes of listeners, sessions and tracks."""
        self._counts = {name: CodeCounts() for name in _OWNERS}
        self._seen_tracks = np.zeros(0, np.bool_)
        self._waiting: list[dict[str, NDArray[Any]]] = []
        self._num_waiting = 0
        self._chunks: list[Spilled] = []
        self._named = NamedTracks()
        self._has_lengths = False
        self.side = {name: SideBuilder(name) for name in side}
        """Further columns, by name."""
        self.num_parts = 0
        """How many parts there are; set when `parts` begins."""
        self.listeners = pl.Series([], dtype=pl.String)
        """Listener ids by the codes of `Plays.listener`; set by `parts`."""

    def coded(self, frame: pl.DataFrame) -> tuple[dict[str, NDArray[Any]], pl.DataFrame]:
        """Return a typed frame as arrays, ids as codes, and its track names and lengths; safe in any thread."""
        arrays = dict[str, NDArray[Any]]()
        for column in frame:
            if column.name in _TEXTS and column.dtype == pl.String:
                arrays[column.name] = codes_of(column, self.ids[column.name].column)
            elif column.name in _TEXTS:
                arrays[column.name] = column.to_numpy()
            elif column.name.startswith(SIDE):
                arrays |= self.side[column.name.removeprefix(SIDE)].arrays(column)
            elif column.name not in _NAMES:
                arrays[column.name] = column.to_numpy()
        tracks = frame.select(
            pl.Series("track", arrays["track"]),
            *(pl.col(name) for name in _NAMES if name in frame.columns),
            *(pl.col(name).fill_nan(None) for name in (_LENGTH,) if name in frame.columns),
        )
        return arrays, tracks.unique("track", keep="first", maintain_order=True) if tracks.width > 1 else tracks

    def add(self, arrays: dict[str, NDArray[Any]], tracks: pl.DataFrame) -> None:
        """Take a block that `coded` returned."""
        for name in _OWNERS:
            if name in arrays:
                self._counts[name].add(arrays[name])
        self._seen_tracks = marked(self._seen_tracks, arrays["track"])
        for column in self.side.values():
            column.note(arrays)
        self._named.add(tracks)
        self._has_lengths |= _LENGTH in arrays and not np.isnan(arrays[_LENGTH]).all()
        self._waiting.append(arrays)
        self._num_waiting += len(arrays["track"])
        if self._num_waiting > (CHUNK_ROWS if self._chunks else MOST_IN_MEMORY):
            self._spill()

    def _spill(self) -> None:
        """Write the waiting blocks to scratch files of about CHUNK_ROWS plays."""
        while self._waiting:
            sizes = np.cumsum([len(block["track"]) for block in self._waiting])
            count = min(int(np.searchsorted(sizes, CHUNK_ROWS)) + 1, len(sizes))
            file = self._folder / f"plays-{len(self._chunks):05d}"
            self._chunks.append(Spilled.write(file, aligned(self._waiting[:count])))
            self._waiting = self._waiting[count:]
        self._num_waiting = 0

    def parts(self) -> Iterator[Plays]:
        """Yield the plays of each part in turn."""
        if self._chunks:
            self._spill()
        chunks = list[Chunk](self._chunks)
        chunks += [] if chunks else [InMemory(block) for block in self._waiting]
        chunks = [chunk for chunk in chunks if chunk.length("track")]
        if not chunks:
            return
        lengths = self._lengths(chunks)
        present = chunks[0].names
        by_name = None
        if "listener" in present:
            self.listeners, by_name = ranked(self._counts["listener"].rows > 0, self.ids["listener"].column)
        owner = "listener" if by_name is not None else "session" if "session" in present else "track"
        if owner == "track":  # one listener, whose history is one part
            part = np.zeros(len(self._seen_tracks), np.int32)
        else:
            rank = by_name if by_name is not None and "session" not in present else self._counts[owner].appearance
            part = self._counts[owner].parts(rank, PART_ROWS)
        self.num_parts = int(part.max(initial=0)) + 1
        for arrays in partitioned(chunks, owner, part):
            listener = arrays.pop("listener", None)
            listener_rank = np.zeros(len(arrays["track"]), np.int32) if by_name is None else by_name[listener]
            if lengths is not None:
                arrays[_LENGTH] = lengths[arrays["track"]]
            side = {name: arrays.pop(name) for name in list(arrays) if name.startswith(SIDE)}
            yield Plays(listener=listener_rank, side=side, **arrays)

    def _lengths(self, chunks: Sequence[Chunk]) -> NDArray[np.float64] | None:
        """Return the estimated length of each track by code; None if the log has lengths or no times played."""
        if self._has_lengths or _PLAYED not in chunks[0].names:
            return None
        played = ((chunk.load("track"), chunk.load(_PLAYED)) for chunk in chunks)
        return lengths_seen(played, len(self._seen_tracks))

    def tracks(self) -> pl.Series:
        """Return the ids of all tracks with plays."""
        return coded_texts(np.flatnonzero(self._seen_tracks).astype(np.int32), self.ids["track"].column)

    def track_table(self, vocabulary: pl.Series) -> TrackTable:
        """Return the names and lengths that the log gives the tracks of `vocabulary`."""
        return self._named.table(self.ids["track"].column, vocabulary)


def partitioned(chunks: Sequence[Chunk], owner: str, part: NDArray[np.int32]) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the arrays of each part in turn, rows in the order of the chunks.

    A row belongs to part `part[code]` by its code in the array `owner`.
    """
    num_parts = int(part.max(initial=0)) + 1
    ordered, bounds = list[Chunk](), list[NDArray[np.int64]]()
    for chunk in chunks:
        row_part = part[chunk.load(owner)] if num_parts > 1 else np.zeros(chunk.length(owner), np.int32)
        if (row_part[1:] < row_part[:-1]).any():
            order = np.argsort(row_part, kind="stable")
            row_part, chunk = row_part[order], chunk.in_order(order)
        ordered.append(chunk)
        bounds.append(np.searchsorted(row_part, np.arange(num_parts + 1)))
    for number in range(num_parts):
        pieces = [(one, int(ends[number]), int(ends[number + 1])) for one, ends in zip(ordered, bounds, strict=True)]
        blocks = [{name: one.load(name, first, end) for name in one.names} for one, first, end in pieces if end > first]
        yield {name: np.concatenate(arrays) for name, arrays in aligned(blocks).items()}
