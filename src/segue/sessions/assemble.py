"""Event tables, one a file, into one store: an independent step a file, one merge of vocabularies, shards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.events.table import EventTable, Side, ordered_side, shared_codes
from segue.sessions.order import Ordered, SeenKeys, order_rows, packed
from segue.store.manifest import Manifest, SideColumn, Source
from segue.store.vocabulary import NUM_SPECIALS, Vocabulary
from segue.store.writer import SessionColumns, StoreWriter, TrackTable


@dataclass(frozen=True)
class Part:
    """One file's sessions, spilled to `file`; tracks by the codes of the assembly."""

    file: Path
    arrays: Mapping[str, tuple[str, int, int]]
    """Dtype, first byte and length of each spilled array."""
    categories: Mapping[str, tuple[str, ...]]


class Assembly:
    """Takes event tables one by one and keeps their sessions on disk until the vocabulary is known."""

    def __init__(self, folder: Path, rejects: Rejects) -> None:
        self._folder = folder
        self._rejects = rejects
        self._seen = SeenKeys()
        self._codes: pl.Series | None = None
        self._texts: list[pl.Series] = []
        self._known = np.zeros(0, np.bool_)
        self.parts: list[Part] = []
        self.side: dict[str, Side] = {}

    def add(self, table: EventTable) -> None:
        """Order and spill the sessions of one file.

        Raises:
            InputError: the file has other side columns than the first.
        """
        side = ordered_side(table.side)
        if not self.parts:
            self.side = {name: _declared(column) for name, column in side.items()}
        elif list(side) != list(self.side):
            raise InputError(f"{table.name} has other columns than the first file; prepare them apart")
        ordered = order_rows(table, self._seen, self._rejects)
        arrays, categories = _session_arrays(table, ordered, side)
        used = np.flatnonzero(np.bincount(arrays["tracks"], minlength=len(table.track_ids)))
        codes = np.zeros(len(table.track_ids), np.int32)
        codes[used] = self._coded(table.track_ids.gather(used))
        arrays["tracks"] = codes[arrays["tracks"]]
        self.parts.append(_spill(self._folder / f"{len(self.parts):05d}", arrays, categories))

    def _coded(self, texts: pl.Series) -> NDArray[np.int32]:
        """Return the code of each distinct text, the same for all files; texts met first are kept.

        A Categorical column of one dtype for all files brings its codes along.
        """
        if self._codes is None:
            self._codes = texts[:0] if isinstance(texts.dtype, pl.Categorical) else shared_codes("tracks")
        coded = texts.cast(self._codes.dtype)
        codes = coded.to_physical().to_numpy().astype(np.int32)
        missing = int(codes.max(initial=-1)) + 1 - len(self._known)
        if missing > 0:
            self._known = np.append(self._known, np.zeros(missing, np.bool_))
        fresh = np.flatnonzero(~self._known[codes])
        self._known[codes[fresh]] = True
        self._texts.append(coded.gather(fresh))
        return codes

    def vocabulary(self) -> tuple[pl.Series, NDArray[np.int32]]:
        """Return every track id once, in UTF-8 byte order, and the table row of each code."""
        coded = pl.concat(self._texts)
        texts = coded.cast(pl.String)
        order = texts.arg_sort().to_numpy()
        rows = np.zeros(len(self._known), np.int32)
        rows[coded.to_physical().to_numpy()[order]] = np.arange(len(texts), dtype=np.int32) + NUM_SPECIALS
        return texts.gather(order), rows

    def columns(self) -> tuple[SideColumn, ...]:
        """Return the side columns of the store; categories are the values seen, in UTF-8 byte order."""
        return tuple(
            SideColumn(name, column.dtype, column.level, self._categories(name)) for name, column in self.side.items()
        )

    def _categories(self, name: str) -> tuple[str, ...]:
        seen = {text for part in self.parts for text in part.categories.get(name, ())}
        return tuple(sorted(seen, key=lambda text: text.encode("utf-8")))

    def shards(self, rows: NDArray[np.int32]) -> Iterable[SessionColumns]:
        """Yield the sessions of each file with their final track rows, given the row of each code."""
        for part in self.parts:
            yield self._shard(part, rows)

    def _shard(self, part: Part, rows: NDArray[np.int32]) -> SessionColumns:
        side: dict[str, NDArray[Any]] = {}
        for name in self.side:
            values = _load(part, name)
            own, merged = part.categories.get(name, ()), self._categories(name)
            if own != merged:
                code = {text: number for number, text in enumerate(merged)}
                values = np.array([code[text] for text in own], values.dtype)[values]
            side[name] = values
        return SessionColumns(
            tracks=rows[_load(part, "tracks")],
            strength=_load(part, "strength"),
            offsets=_load(part, "offsets"),
            session_key=_load(part, "session_key"),
            side=side,
        )


@dataclass(frozen=True)
class Questions:
    """What is asked when every row has been read."""

    check: Callable[[], None]
    """Asked first; raises where too much was rejected."""
    source: Callable[[], Source]
    tracks: Callable[[pl.Series], TrackTable]
    """Asked with the vocabulary (texts by row - 3)."""


def write_store(
    store: Path, tables: Iterable[EventTable], rejects: Rejects, questions: Questions, *, overwrite: bool
) -> Manifest:
    """Write the sessions of `tables` as one store, whole or not at all; return its manifest.

    Raises:
        InputError: no session is left, or `store` may not be replaced.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{store.name}.", suffix=".part", dir=store.parent) as folder:
        assembly = Assembly(Path(folder), rejects)
        for table in tables:
            assembly.add(table)
        rejects.close()
        questions.check()
        vocabulary, rows = assembly.vocabulary()
        if len(vocabulary) == 0:
            raise InputError(f"no usable row was read, so {store} is not written; see {rejects.path}")
        with StoreWriter(store, questions.source(), assembly.columns(), overwrite=overwrite) as writer:
            for shard in assembly.shards(rows):
                writer.add_shard(shard)
            return writer.finish(Vocabulary(*packed(vocabulary)), questions.tracks(vocabulary))


def _declared(column: Side) -> Side:
    return Side(column.values[:0], column.dtype, column.level, ())


def _session_arrays(
    table: EventTable, ordered: Ordered, side: Mapping[str, Side]
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    """Return a table's columns in store order, tracks still by its own codes, and the categories that rows name."""
    events: dict[str, NDArray[Any]] = {"tracks": table.track, "strength": table.strength}
    events |= {name: column.values for name, column in side.items() if column.level == "event"}
    with ThreadPoolExecutor(2) as pool:  # gathers of random rows wait for memory
        events = dict(zip(events, pool.map(lambda values: _taken(values, ordered.rows), events.values()), strict=True))
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
            kept = np.bincount(values, minlength=len(column.categories)) > 0
            categories[name] = tuple(c for c, seen in zip(column.categories, kept, strict=True) if seen)
            values = (np.cumsum(kept) - 1).astype(values.dtype)[values]
        arrays[name] = values
    return arrays, categories


def _spill(file: Path, arrays: Mapping[str, NDArray[Any]], categories: Mapping[str, tuple[str, ...]]) -> Part:
    """Write arrays end to end."""
    places: dict[str, tuple[str, int, int]] = {}
    with file.open("wb") as handle:
        for name, values in arrays.items():
            places[name] = (values.dtype.str, handle.tell(), len(values))
            np.ascontiguousarray(values).tofile(handle)
    return Part(file, places, categories)


def _taken(values: NDArray[Any], rows: NDArray[np.int64] | None) -> NDArray[Any]:
    return values if rows is None else values[rows]


def _load(part: Part, name: str) -> NDArray[Any]:
    dtype, first, length = part.arrays[name]
    return np.fromfile(part.file, dtype, length, offset=first)
