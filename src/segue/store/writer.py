"""Writing a store: shards of flat arrays, vocabulary, track table, and the manifest last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
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
from segue.store.manifest import MANIFEST, Manifest, Shard, SideColumn, Source
from segue.store.vocabulary import NUM_SPECIALS, TextColumn, Vocabulary

_SAVERS: Final = 4
"""Arrays saved at once: a disk makes several small files durable in the time of one."""
TEXT_COLUMNS = (columns.TITLE, columns.ARTIST)


@dataclass(frozen=True)
class TrackTable:
    """What is known of each track, in vocabulary order (length V); any part may be missing."""

    title: Sequence[str] | None = None
    artist: Sequence[str] | None = None
    duration: NDArray[np.float32] | None = None
    """Seconds; NaN where unknown."""
    features: NDArray[np.float32] | None = None
    """[V, F]; NaN where unknown."""
    feature_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionColumns:
    """The sessions of one shard, flat: rows of session s are `offsets[s]:offsets[s + 1]`."""

    tracks: NDArray[np.int32]
    """Table rows (>= 3), sessions one after the other, each in listening order."""
    strength: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    session_key: NDArray[np.uint64]
    side: Mapping[str, NDArray[np.generic]]


class StoreWriter:
    """Writes one store; used as a context manager, it leaves a whole store or none.

    >>> with StoreWriter(path, source, side) as writer:   # doctest: +SKIP
    ...     writer.add_shard(sessions)
    ...     writer.finish(vocabulary, track_table)

    Raises:
        InputError: `path` exists (and `overwrite` is not set, or it is no store).
    """

    def __init__(self, path: Path, source: Source, side: Sequence[SideColumn] = (), *, overwrite: bool = False) -> None:
        self._side = tuple(side)
        self._source = source
        self._shards: list[Shard] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(_SAVERS)
        self._saving: list[Future[None]] = []
        self._context = replaced_folder(path, overwrite=overwrite, marker=MANIFEST)
        self._finished = False

    def __enter__(self) -> StoreWriter:
        self._folder = self._stack.enter_context(self._context)
        self._stack.enter_context(self._pool)  # left first: nothing is renamed or removed while it is being saved
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
        self._settle(4 + len(self._side))  # arrays stay in memory until they are saved: one shard's, at most
        num_rows, num_sessions = len(sessions.tracks), len(sessions.session_key)
        assert len(sessions.offsets) == num_sessions + 1, "one offset more than sessions"
        assert int(sessions.offsets[-1]) == num_rows, "the last offset closes the rows"
        assert set(sessions.side) == {column.name for column in self._side}, "side columns as declared"
        shard = Shard(f"shard-{len(self._shards):05d}", num_sessions, num_rows)
        folder = self._folder / shard.name
        folder.mkdir()
        self._save(folder, "tracks", sessions.tracks, "<i4", num_rows)
        self._save(folder, "strength", sessions.strength, "|u1", num_rows)
        self._save(folder, "offsets", sessions.offsets, "<i8", num_sessions + 1)
        self._save(folder, "session_key", sessions.session_key, "<u8", num_sessions)
        for column in self._side:
            length = num_rows if column.level == "event" else num_sessions
            self._save(folder, column.name, sessions.side[column.name], column.dtype, length)
        self._shards.append(shard)

    def finish(self, vocabulary: Vocabulary, table: TrackTable | None = None) -> Manifest:
        """Write vocabulary, track table and manifest; return the manifest."""
        vocabulary.write(self._folder / "vocabulary")
        self._digest.update(vocabulary.data.tobytes() + vocabulary.offsets.tobytes())
        table = table or TrackTable()
        manifest = Manifest(
            num_sessions=sum(shard.num_sessions for shard in self._shards),
            num_rows=sum(shard.num_rows for shard in self._shards),
            num_tracks=vocabulary.num_tracks,
            fingerprint="",
            source=self._source,
            side=self._side,
            shards=tuple(self._shards),
            track_columns=self._write_tracks(table, vocabulary.num_tracks),
            feature_names=table.feature_names,
        )
        manifest = Manifest(**{**vars(manifest), "fingerprint": self._digest.hexdigest()})
        self._settle(0)
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
                self._digest.update(column.data.tobytes() + column.offsets.tobytes())
            else:
                self._save(folder, name, values, "<f4", num_tracks)
        return tuple(present)

    def _settle(self, left: int) -> None:
        """Wait until at most `left` arrays are still being saved; raise what a save raised."""
        while len(self._saving) > left:
            self._saving.pop(0).result()

    def _save(self, folder: Path, name: str, array: NDArray[np.generic], dtype: str, length: int) -> None:
        """Save one array as little-endian `dtype` and take it into the fingerprint."""
        assert len(array) == length, f"{name}: {len(array)} values for {length} rows"
        stored = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
        self._saving.append(self._pool.submit(_save_durably, folder / f"{name}.npy", stored))
        self._digest.update(f"{name}:{stored.dtype.str}:{stored.shape}".encode())
        self._digest.update(stored.reshape(-1).view(np.uint8).data)


def _save_durably(path: Path, array: NDArray[np.generic]) -> None:
    with path.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
        handle.flush()
        os.fsync(handle.fileno())


def assert_rows(tracks: NDArray[np.int32], num_tracks: int) -> None:
    """Assert that every value is a track row of a vocabulary of `num_tracks`."""
    assert len(tracks) == 0 or (tracks.min() >= NUM_SPECIALS and tracks.max() < num_tracks + NUM_SPECIALS)
