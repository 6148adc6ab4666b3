"""Event tables, one a file, into one store: an independent step a file, one merge of vocabularies, shards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.events.table import EventTable, Side, ordered_side
from segue.sessions.order import Ordered, SeenKeys, order_rows, packed
from segue.store.manifest import Manifest, SideColumn, Source
from segue.store.vocabulary import NUM_SPECIALS, Vocabulary
from segue.store.writer import SessionColumns, StoreWriter, TrackTable


@dataclass(frozen=True)
class Part:
    """One file's sessions, spilled to `folder` with its own track codes."""

    folder: Path
    track_ids: pl.Series
    """Distinct ids by code; only ids that a kept row names."""
    categories: Mapping[str, tuple[str, ...]]


class Assembly:
    """Takes event tables one by one and keeps their sessions on disk until the vocabulary is known."""

    def __init__(self, folder: Path, rejects: Rejects) -> None:
        self._folder = folder
        self._rejects = rejects
        self._seen = SeenKeys()
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
        folder = self._folder / f"{len(self.parts):05d}"
        folder.mkdir()
        self.parts.append(_spill(folder, table, ordered, side))

    def vocabulary(self) -> pl.Series:
        """Return every track id once, in UTF-8 byte order."""
        return pl.concat([part.track_ids for part in self.parts]).unique().sort()

    def columns(self) -> tuple[SideColumn, ...]:
        """Return the side columns of the store; categories are the values seen, in UTF-8 byte order."""
        return tuple(
            SideColumn(name, column.dtype, column.level, self._categories(name)) for name, column in self.side.items()
        )

    def _categories(self, name: str) -> tuple[str, ...]:
        seen = {text for part in self.parts for text in part.categories.get(name, ())}
        return tuple(sorted(seen, key=lambda text: text.encode("utf-8")))

    def shards(self, vocabulary: pl.Series) -> Iterable[SessionColumns]:
        """Yield the sessions of each file with their final track rows."""
        index = pl.DataFrame({"id": vocabulary, "row": np.arange(len(vocabulary), dtype=np.int32) + NUM_SPECIALS})
        for part in self.parts:
            joined = pl.DataFrame({"id": part.track_ids}).join(index, on="id", how="left", maintain_order="left")
            yield self._shard(part, joined["row"].to_numpy())

    def _shard(self, part: Part, rows: NDArray[np.int32]) -> SessionColumns:
        side: dict[str, NDArray[Any]] = {}
        for name in self.side:
            values = _load(part, name)
            own = part.categories.get(name, ())
            if own:
                merged = {text: code for code, text in enumerate(self._categories(name))}
                values = np.array([merged[text] for text in own], values.dtype)[values]
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
        vocabulary = assembly.vocabulary()
        if len(vocabulary) == 0:
            raise InputError(f"no usable row was read, so {store} is not written; see {rejects.path}")
        with StoreWriter(store, questions.source(), assembly.columns(), overwrite=overwrite) as writer:
            for shard in assembly.shards(vocabulary):
                writer.add_shard(shard)
            return writer.finish(Vocabulary(*packed(vocabulary)), questions.tracks(vocabulary))


def _declared(column: Side) -> Side:
    return Side(column.values[:0], column.dtype, column.level, ())


def _spill(folder: Path, table: EventTable, ordered: Ordered, side: Mapping[str, Side]) -> Part:
    track = _taken(table.track, ordered.rows)
    used = np.bincount(track, minlength=len(table.track_ids)) > 0
    renumbered = (np.cumsum(used) - 1).astype(np.int32)
    arrays = {
        "tracks": renumbered[track],
        "strength": _taken(table.strength, ordered.rows),
        "offsets": ordered.offsets,
        "session_key": ordered.session_key,
    }
    categories: dict[str, tuple[str, ...]] = {}
    for name, column in side.items():
        values = _taken(column.values, ordered.rows)
        if column.categories:
            kept = np.bincount(values, minlength=len(column.categories)) > 0
            categories[name] = tuple(c for c, seen in zip(column.categories, kept, strict=True) if seen)
            values = (np.cumsum(kept) - 1).astype(values.dtype)[values]
        arrays[name] = values if column.level == "event" else values[ordered.offsets[:-1]]
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    return Part(folder, table.track_ids.filter(pl.Series(used)), categories)


def _taken(values: NDArray[Any], rows: NDArray[np.int64] | None) -> NDArray[Any]:
    return values if rows is None else values[rows]


def _load(part: Part, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(part.folder / f"{name}.npy", allow_pickle=False)
    return array
