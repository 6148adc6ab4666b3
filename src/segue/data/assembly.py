"""Event tables become one store: their sessions wait until all are read, then the vocabulary numbers the tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.columns import SIDE_DTYPES
from segue.data.codes import coded_texts, marked, ranked, shared_codes
from segue.data.event_table import FILE, EventTable, Side
from segue.data.rejects import DUPLICATE_POSITION, Rejects
from segue.data.session_keys import packed
from segue.data.spilled import InMemory, Spilled
from segue.errors import InputError
from segue.files import scratch_folder
from segue.store.manifest import Manifest, SideColumn, StoreSource
from segue.store.vocabulary import NUM_SPECIALS, Vocabulary
from segue.store.writer import ShardPieces, StoreWriter, TrackTable

MOST_IN_MEMORY = 6_000_000
"""Most plays that wait in memory, about 20 bytes each."""


class Assembly:
    """Takes event tables one by one and keeps their sessions, which become one shard."""

    def __init__(self, folder: Path, rejects: Rejects) -> None:
        self._folder = folder
        self._rejects = rejects
        self._track_ids = shared_codes("track")
        self._has_rows = np.zeros(0, np.bool_)
        self._parts: list[InMemory | Spilled] = []
        self._num_rows = 0
        self._side: dict[str, Side] = {}
        """Columns of the first table: those of `SIDE_DTYPES` in that order, then the others as given."""
        self._occurs: dict[str, NDArray[np.bool_]] = {}
        """Which categories of each categorical column occur."""

    def add(self, table: EventTable) -> None:
        """Add the sessions of one table; rows with the position of an earlier row are rejected."""
        if not self._parts:
            names = [name for name in SIDE_DTYPES if name in table.side]
            self._side = {name: table.side[name] for name in dict.fromkeys([*names, *table.side])}
        rows = _usable_rows(table, self._rejects)
        session = table.session[rows]
        first = np.flatnonzero(np.diff(session, prepend=-1))
        arrays: dict[str, NDArray[Any]] = {
            "tracks": table.track[rows],
            "strength": table.strength[rows],
            "offsets": np.append(first, len(session)),
            "session_key": table.session_key[session[first]],
        }
        self._track_ids, self._has_rows = table.track_ids, marked(self._has_rows, arrays["tracks"])
        for name in self._side:
            column = table.side[name]
            arrays[name] = column.values[rows][first] if column.level == "session" else column.values[rows]
            if column.categories:
                occurs = np.bincount(arrays[name], minlength=len(column.categories)) > 0
                self._occurs[name] = occurs | self._occurs.get(name, np.False_)
        self._num_rows += len(session)
        if self._num_rows <= MOST_IN_MEMORY:
            self._parts.append(InMemory(arrays))
        else:
            file = self._folder / f"{len(self._parts):05d}"
            self._parts.append(Spilled.write(file, {name: [values] for name, values in arrays.items()}))

    def vocabulary(self) -> tuple[pl.Series, NDArray[np.int32]]:
        """Return every track id once, in UTF-8 byte order, and the row of the embedding table for each code."""
        texts, rank = ranked(self._has_rows, self._track_ids)
        return texts, rank + np.int32(NUM_SPECIALS)

    def columns(self) -> tuple[SideColumn, ...]:
        """Return the side columns of the store; categories are the values that occur, in UTF-8 byte order."""
        return tuple(SideColumn(name, one.dtype, one.level, self._categories(name)) for name, one in self._side.items())

    def _categories(self, name: str) -> tuple[str, ...]:
        occurs = self._occurs.get(name, ())
        texts = (text for text, there in zip(self._side[name].categories, occurs, strict=True) if there)
        return tuple(sorted(texts, key=lambda text: text.encode("utf-8")))

    def shard(self, rows: NDArray[np.int32]) -> ShardPieces:
        """Return all sessions, track codes replaced by `rows`."""
        num_sessions, num_rows = (sum(part.length(name) for part in self._parts) for name in ("session_key", "tracks"))
        return ShardPieces(num_sessions, num_rows, lambda name: self._pieces(name, rows))

    def _pieces(self, name: str, rows: NDArray[np.int32]) -> Iterator[NDArray[Any]]:
        """Yield one column of the shard, part by part."""
        final_code: NDArray[Any] | None = rows if name == "tracks" else None
        if name in self._occurs:
            code_of = {text: code for code, text in enumerate(self._categories(name))}
            column = self._side[name]
            final_code = np.array([code_of.get(text, 0) for text in column.categories], column.dtype)
        num_rows = 0
        for number, part in enumerate(self._parts):
            values = part.load(name)
            if final_code is not None:
                values = final_code[values]
            elif name == "offsets":
                values, num_rows = values[min(number, 1) :] + num_rows, num_rows + int(values[-1])
            yield values


def _usable_rows(table: EventTable, rejects: Rejects) -> NDArray[np.int64] | slice:
    """Return the rows without those whose session and position equal those of the row before; these are rejected."""
    again = (table.session[1:] == table.session[:-1]) & (table.position[1:] == table.position[:-1])
    if not again.any():
        return slice(None)
    bad = np.flatnonzero(again) + 1
    bad = bad[np.argsort(table.line[bad], kind="stable")]
    texts = zip(
        table.session_ids(bad),
        table.position[bad].tolist(),
        coded_texts(table.track[bad], table.track_ids).to_list(),
        strict=True,
    )
    for file_and_line, (session, position, track) in zip(table.line[bad].tolist(), texts, strict=True):
        file, line = divmod(file_and_line, FILE)
        rejects.add(DUPLICATE_POSITION, table.names[file], [(line, f"{session},{position},{track}")])
    return np.flatnonzero(np.append(True, ~again))


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
            writer.add_pieces(assembly.shard(rows))
            return writer.finish(Vocabulary(*packed(vocabulary)), questions.tracks(vocabulary))
