"""Writes a store: shards of flat arrays, vocabulary, track table, and the manifest last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.files import replaced_folder, write_json
from segue.store.manifest import MANIFEST, Manifest, Shard, SideColumn, StoreSource
from segue.store.vocabulary import TextColumn, Vocabulary

_SAVERS: Final = 4
"""Files synced at once; a disk syncs several small files in the time of one."""
_IN_WORK: Final = 16
"""Most pieces in memory until they are hashed and written; more than the columns of a shard."""
_MANY_BYTES: Final = 1 << 20
"""Bytes from which hashing goes to another thread; below, the hand-over costs as much as the hash."""
TEXT_COLUMNS = (columns.TITLE, columns.ARTIST, columns.ALBUM)


@dataclass(frozen=True)
class TrackTable:
    """Properties of the tracks, in vocabulary order (length V); any may be missing."""

    title: Sequence[str] | None = None
    artist: Sequence[str] | None = None
    duration: NDArray[np.float32] | None = None
    """Seconds; NaN = unknown."""
    features: NDArray[np.float32] | None = None
    """[V, F]; NaN = unknown."""
    feature_names: tuple[str, ...] = ()
    album: Sequence[str] | None = None


@dataclass(frozen=True)
class SessionColumns:
    """The sessions of one shard as flat columns: the rows of session s are `offsets[s]:offsets[s + 1]`."""

    tracks: NDArray[np.int32]
    """Table rows (>= NUM_SPECIALS), sessions one after the other, each in listening order."""
    strength: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    session_key: NDArray[np.uint64]
    side: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class ShardPieces:
    """The sessions of one shard, each column in pieces, so that no whole column need be in memory."""

    num_sessions: int
    num_rows: int
    column: Callable[[str], Iterable[NDArray[np.generic]]]
    """Returns the pieces of a column of `SessionColumns`, or of a side column, by name."""


class StoreWriter:
    """Writes one store as a context manager; the store is written whole or not at all.

    Inside the `with` block, call `add_shard` or `add_pieces` for each shard, then `finish` once.

    Raises:
        InputError: `path` exists, and `overwrite` is not set or `path` is not a store.
    """

    def __init__(
        self, path: Path, source: StoreSource, side: Sequence[SideColumn] = (), *, overwrite: bool = False
    ) -> None:
        self._side = tuple(side)
        self._source = source
        self._shards: list[Shard] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(_SAVERS)
        self._hasher = ThreadPoolExecutor(1)
        self._working: list[Future[None]] = []
        self._hashing: Future[None] = Future()
        self._hashing.set_result(None)
        self._context = replaced_folder(path, overwrite=overwrite, marker=MANIFEST)
        self._finished = False

    def __enter__(self) -> StoreWriter:
        self._folder = self._stack.enter_context(self._context)
        self._stack.enter_context(self._hasher)
        self._stack.enter_context(self._pool)  # exits first: files are complete before the folder is renamed or removed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and not self._finished:
            self._stack.__exit__(RuntimeError, RuntimeError("not finished"), None)
            raise AssertionError("StoreWriter left without finish()")
        self._stack.__exit__(kind, value, traceback)

    def add_shard(self, sessions: SessionColumns) -> None:
        """Write one shard; lengths and dtypes are asserted."""
        assert set(sessions.side) == {column.name for column in self._side}, "side columns as declared"
        arrays = {name: getattr(sessions, name) for name in ("tracks", "strength", "offsets", "session_key")}
        arrays |= sessions.side
        assert int(sessions.offsets[-1]) == len(sessions.tracks), "the last offset closes the rows"
        self.add_pieces(ShardPieces(len(sessions.session_key), len(sessions.tracks), lambda name: [arrays[name]]))

    def add_pieces(self, sessions: ShardPieces) -> None:
        """Write one shard column by column, piece by piece; lengths are asserted."""
        num_rows, num_sessions = sessions.num_rows, sessions.num_sessions
        shard = Shard(f"shard-{len(self._shards):05d}", num_sessions, num_rows)
        folder = self._folder / shard.name
        folder.mkdir()
        dtypes = {"tracks": "<i4", "strength": "|u1", "offsets": "<i8", "session_key": "<u8"}
        lengths = {"tracks": num_rows, "strength": num_rows, "offsets": num_sessions + 1, "session_key": num_sessions}
        for column in self._side:
            dtypes[column.name] = column.dtype
            lengths[column.name] = num_rows if column.level == "event" else num_sessions
        for name, dtype in dtypes.items():
            self._save(folder / f"{name}.npy", sessions.column(name), dtype, (lengths[name],))
        self._shards.append(shard)

    def finish(self, vocabulary: Vocabulary, table: TrackTable | None = None) -> Manifest:
        """Return the manifest, after writing vocabulary, track table and manifest."""
        vocabulary.write(self._folder / "vocabulary")
        self._take_text(vocabulary)
        table = table or TrackTable()
        track_columns = self._write_tracks(table, vocabulary.num_tracks)
        self._settle(0)
        manifest = Manifest(
            num_sessions=sum(shard.num_sessions for shard in self._shards),
            num_rows=sum(shard.num_rows for shard in self._shards),
            num_tracks=vocabulary.num_tracks,
            fingerprint=self._digest.hexdigest(),
            source=self._source,
            side=self._side,
            shards=tuple(self._shards),
            track_columns=track_columns,
            feature_names=table.feature_names,
        )
        write_json(self._folder / MANIFEST, manifest.to_json())
        self._finished = True
        return manifest

    def _write_tracks(self, table: TrackTable, num_tracks: int) -> tuple[str, ...]:
        folder = self._folder / "tracks"
        present = [name for name in (*TEXT_COLUMNS, columns.DURATION, "features") if getattr(table, name) is not None]
        for name in present:
            folder.mkdir(exist_ok=True)
            values = getattr(table, name)
            assert len(values) == num_tracks, f"track column {name}"
            if name in TEXT_COLUMNS:
                column = TextColumn.from_texts(values)
                column.write(folder / name)
                self._take_text(column)
            else:
                self._save(folder / f"{name}.npy", [values], "<f4", np.shape(values))
        return tuple(present)

    def _take_text(self, column: TextColumn) -> None:
        for values in (column.data, column.offsets):
            self._take(np.ascontiguousarray(values).view(np.uint8).data)

    def _settle(self, left: int) -> None:
        """Wait until at most `left` pieces and files are in work; errors of the work are raised here."""
        while len(self._working) > left:
            self._working.pop(0).result()

    def _save(self, path: Path, pieces: Iterable[NDArray[np.generic]], dtype: str, shape: tuple[int, ...]) -> None:
        """Save one array from its pieces as little-endian `dtype` and add it to the fingerprint."""
        stored = np.dtype(dtype).newbyteorder("<")
        self._take(f"{path.stem}:{stored.str}:{shape}".encode())
        file, length = _ArrayFile(path, stored, shape), 0
        for number, piece in enumerate(pieces):
            values = np.ascontiguousarray(piece, dtype=stored)
            if number:
                self._settle(0)  # pieces are written in order
            self._working.append(self._pool.submit(file.write, values))
            self._take(values.reshape(-1).view(np.uint8).data)
            length += len(values)
        assert length == shape[0], f"{path.stem}: {length} values for {shape[0]} rows"

    def _take(self, data: bytes | memoryview) -> None:
        """Add bytes to the fingerprint, many bytes in another thread."""
        if len(data) >= _MANY_BYTES:
            self._working.append(self._hasher.submit(self._digest.update, data))
            self._hashing = self._working[-1]
        else:
            self._hashing.result()
            self._digest.update(data)
        self._settle(_IN_WORK)


@dataclass
class _ArrayFile:
    """An .npy file that is written piece by piece and synced after the last."""

    path: Path
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    rows: int = -1
    """Rows written; -1 before the header."""

    def write(self, values: NDArray[np.generic]) -> None:
        """Write the next piece."""
        with self.path.open("ab") as handle:
            if self.rows < 0:
                self.rows = 0
                header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
                np.lib.format.write_array_header_1_0(handle, header)
            handle.write(values.reshape(-1).view(np.uint8).data)
            self.rows += len(values)
            if self.rows == self.shape[0]:
                handle.flush()
                os.fsync(handle.fileno())
