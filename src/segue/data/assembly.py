"""Event tables, one per file, become one store: one step per file, one merge of vocabularies, then shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.event_table import EventTable, Side, coded_texts, ordered_side
from segue.data.rejects import Rejects
from segue.data.row_order import Ordered, order_rows
from segue.data.session_keys import SeenKeys, packed
from segue.data.spilled import InMemory, Spilled
from segue.errors import InputError
from segue.files import scratch_folder
from segue.store.manifest import Manifest, SideColumn, StoreSource
from segue.store.vocabulary import NUM_SPECIALS, Vocabulary
from segue.store.writer import ShardPieces, StoreWriter, TrackTable

MOST_IN_MEMORY = 6_000_000
"""Most plays that wait in memory, about 20 bytes each."""


@dataclass(frozen=True)
class Part:
    """Some sessions of one file; tracks are codes of the assembly."""

    arrays: InMemory | Spilled
    categories: Mapping[str, tuple[str, ...]]


class Assembly:
    """Takes event tables one by one and keeps their sessions until the vocabulary is known."""

    def __init__(self, folder: Path, rejects: Rejects) -> None:
        self._folder = folder
        self._rejects = rejects
        self._seen = SeenKeys()
        self._tracks: pl.Series | None = None
        self._has_rows = np.zeros(0, np.bool_)
        self._parts: list[list[Part]] = []
        self._num_rows = 0
        self._whole = True
        self.side: dict[str, Side] = {}

    def add(self, table: EventTable) -> None:
        """Add the sessions of one table, ordered; the sessions of one file make one shard.

        Raises:
            InputError: the file has other side columns than the first.
        """
        side = ordered_side(table.side)
        if not self._parts:
            self.side = {name: _declared(column) for name, column in side.items()}
        elif list(side) != list(self.side):
            raise InputError(f"{table.names[0]} has other columns than the first file; prepare them apart")
        ordered = order_rows(table, self._seen, self._rejects)
        arrays, categories = _session_arrays(table, ordered, side)
        arrays["tracks"] = self._coded(arrays["tracks"], table.track_ids)
        if self._whole:
            self._parts.append([])
        self._parts[-1].append(Part(self._waiting(arrays), categories))
        self._whole = table.last

    def _waiting(self, arrays: dict[str, NDArray[Any]]) -> InMemory | Spilled:
        """Return the arrays in memory up to MOST_IN_MEMORY plays in total, beyond that in a scratch file."""
        self._num_rows += len(arrays["tracks"])
        if self._num_rows <= MOST_IN_MEMORY:
            return InMemory(arrays)
        file = self._folder / f"{len(self._parts) - 1:05d}-{len(self._parts[-1]):05d}"
        return Spilled.write(file, {name: [values] for name, values in arrays.items()})

    def _coded(self, track: NDArray[np.int32], texts: pl.Series) -> NDArray[np.int32]:
        """Return the codes in `track`, given by the dtype of `texts`; mark them as tracks with rows."""
        self._tracks = texts
        fresh = int(track.max(initial=-1)) + 1 - len(self._has_rows)
        if fresh > 0:
            self._has_rows = np.append(self._has_rows, np.zeros(fresh, np.bool_))
        self._has_rows[track] = True
        return track

    def vocabulary(self) -> tuple[pl.Series, NDArray[np.int32]]:
        """Return every track id once, in UTF-8 byte order, and the row of the embedding table for each code."""
        if self._tracks is None:
            return pl.Series([], dtype=pl.String), np.zeros(0, np.int32)
        codes = np.flatnonzero(self._has_rows).astype(np.int32)
        texts = coded_texts(codes, self._tracks)
        order = texts.arg_sort().to_numpy()
        rows = np.zeros(len(self._has_rows), np.int32)
        rows[codes[order]] = np.arange(len(texts), dtype=np.int32) + NUM_SPECIALS
        return texts.gather(order), rows

    def columns(self) -> tuple[SideColumn, ...]:
        """Return the side columns of the store; categories are the values that occur, in UTF-8 byte order."""
        return tuple(
            SideColumn(name, column.dtype, column.level, self._categories(name)) for name, column in self.side.items()
        )

    def _categories(self, name: str) -> tuple[str, ...]:
        seen = {text for parts in self._parts for part in parts for text in part.categories.get(name, ())}
        return tuple(sorted(seen, key=lambda text: text.encode("utf-8")))

    def shards(self, rows: NDArray[np.int32]) -> Iterator[ShardPieces]:
        """Yield the sessions of each file, track codes replaced by `rows`."""
        merged = {name: self._categories(name) for name in self.side}
        for parts in self._parts:
            num_sessions, num_rows = (sum(p.arrays.length(name) for p in parts) for name in ("session_key", "tracks"))
            yield ShardPieces(num_sessions, num_rows, partial(_pieces, parts, rows, merged))


def _pieces(
    parts: list[Part], rows: NDArray[np.int32], merged: Mapping[str, tuple[str, ...]], name: str
) -> Iterator[NDArray[Any]]:
    """Yield one column of a shard, part by part."""
    first = 0
    for number, part in enumerate(parts):
        values = part.arrays.load(name)
        if name == "tracks":
            values = rows[values]
        elif name == "offsets":
            values, first = values[min(number, 1) :] + first, first + int(values[-1])
        elif (part_categories := part.categories.get(name, ())) != merged.get(name, ()):
            merged_code = {text: code for code, text in enumerate(merged[name])}
            values = np.array([merged_code[text] for text in part_categories], values.dtype)[values]
        yield values


@dataclass(frozen=True)
class Questions:
    """What the writer calls when every row has been read."""

    check: Callable[[], None]
    """Called first; raises if too many rows were rejected."""
    source: Callable[[], StoreSource]
    tracks: Callable[[pl.Series], TrackTable]
    """Called with the vocabulary (text of row - NUM_SPECIALS)."""


def write_store(
    store: Path,
    tables: Callable[[Path], Iterable[EventTable]],
    rejects: Rejects,
    questions: Questions,
    *,
    overwrite: bool,
) -> Manifest:
    """Return the manifest of the store written from the sessions of `tables`; it is written whole or not at all.

    `tables` gets a scratch folder, which is removed at the end.

    Raises:
        InputError: no session remains, or `store` may not be replaced.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(store) as folder:
        assembly = Assembly(folder, rejects)
        for table in tables(folder):
            assembly.add(table)
        rejects.close()
        questions.check()
        vocabulary, rows = assembly.vocabulary()
        if len(vocabulary) == 0:
            raise InputError(f"no usable row was read, so {store} is not written; see {rejects.path}")
        with StoreWriter(store, questions.source(), assembly.columns(), overwrite=overwrite) as writer:
            for shard in assembly.shards(rows):
                writer.add_pieces(shard)
            return writer.finish(Vocabulary(*packed(vocabulary)), questions.tracks(vocabulary))


def _declared(column: Side) -> Side:
    return Side(column.values[:0], column.dtype, column.level, ())


def _session_arrays(
    table: EventTable, ordered: Ordered, side: Mapping[str, Side]
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    """Return a table's columns in store order, tracks as the table's codes, and the categories that occur."""
    events: dict[str, NDArray[Any]] = {"tracks": table.track, "strength": table.strength}
    events |= {name: column.values for name, column in side.items() if column.level == "event"}
    if ordered.rows is not None:
        rows = ordered.rows
        with ThreadPoolExecutor(2) as pool:  # random gathers are bound by memory latency
            events = dict(zip(events, pool.map(lambda values: values[rows], events.values()), strict=True))
    arrays: dict[str, NDArray[Any]] = {
        "tracks": events["tracks"],
        "strength": events["strength"],
        "offsets": ordered.offsets,
        "session_key": ordered.session_key,
    }
    categories: dict[str, tuple[str, ...]] = {}
    for name, column in side.items():
        values = column.values
        if column.level == "session":
            first = ordered.offsets[:-1]
            values = values[first if ordered.rows is None else ordered.rows[first]]
        else:
            values = events[name]
        if column.categories:
            occurs = np.bincount(values, minlength=len(column.categories)) > 0
            categories[name] = tuple(c for c, seen in zip(column.categories, occurs, strict=True) if seen)
            values = (np.cumsum(occurs) - 1).astype(values.dtype)[values]
        arrays[name] = values
    return arrays, categories
