"""Reads a store; arrays are memory-mapped, so that a store of any size opens in milliseconds."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.config import nearest
from segue.errors import FormatError, InputError
from segue.store.manifest import Manifest, SideColumn, read_manifest
from segue.store.vocabulary import NUM_SPECIALS, TextColumn, Vocabulary, read_array
from segue.store.writer import TEXT_COLUMNS


class Store:
    """A session store on disk, read-only.

    Flat arrays over all shards: `tracks` int32 [rows] (table rows >= NUM_SPECIALS), `strength` uint8 [rows],
    `offsets` int64 [sessions + 1], `session_key` uint64 [sessions], `side(name)` at its level.
    The arrays of a single shard are memory-mapped; those of several are concatenated in memory on first use.

    Raises:
        FormatError: not a store, damaged, or of another format version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FormatError(f"{path} is not a folder; name a store that segue prepare or simulate --store made")
        self.manifest: Manifest = read_manifest(self.path)
        self._check_counts()

    @property
    def num_sessions(self) -> int:
        """Number of sessions."""
        return self.manifest.num_sessions

    @property
    def num_rows(self) -> int:
        """Number of events."""
        return self.manifest.num_rows

    @property
    def num_tracks(self) -> int:
        """V, the number of tracks in the vocabulary."""
        return self.manifest.num_tracks

    @property
    def simulated(self) -> bool:
        """True if the data is simulated; every result made from it must say so."""
        return bool(self.manifest.source.simulated)

    @cached_property
    def tracks(self) -> NDArray[np.int32]:
        """Table row of each event, int32 [rows]."""
        return self._flat("tracks", self.num_rows)

    @cached_property
    def strength(self) -> NDArray[np.uint8]:
        """Skip strength of each event, uint8 [rows]: 0..3, 255 unknown."""
        return self._flat("strength", self.num_rows)

    @cached_property
    def session_key(self) -> NDArray[np.uint64]:
        """64-bit key of each session, uint64 [sessions]."""
        return self._flat("session_key", self.num_sessions)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """First row of each session over all shards, and the number of rows last, int64 [sessions + 1]."""
        shards = self.manifest.shards
        if len(shards) == 1:
            return self._array(f"{shards[0].name}/offsets.npy")
        parts, rows = [np.zeros(1, np.int64)], 0
        for shard in shards:
            parts.append(np.asarray(self._array(f"{shard.name}/offsets.npy"))[1:] + rows)
            rows += shard.num_rows
        return np.concatenate(parts)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Track ids by table row."""
        vocabulary = Vocabulary.read(self.path / "vocabulary")
        if not isinstance(vocabulary, Vocabulary) or len(vocabulary) != self.num_tracks:
            raise FormatError(f"{self.path}/vocabulary does not fit the manifest; prepare the store again")
        return vocabulary

    def side_column(self, name: str) -> SideColumn | None:
        """Return the declaration of side column `name`, or None if the store lacks it."""
        return next((column for column in self.manifest.side if column.name == name), None)

    def side(self, name: str) -> NDArray[Any]:
        """Return side column `name`, [rows] or [sessions] by its level.

        Raises:
            InputError: the store has no such column.
        """
        column = self.side_column(name)
        if column is None:
            names = [column.name for column in self.manifest.side]
            raise InputError(f"{self.path} has no column {name!r}{nearest(name, names)}")
        return self._flat(name, self.num_rows if column.level == "event" else self.num_sessions)

    def track_text(self, name: str) -> TextColumn | None:
        """Return `title`, `artist` or `album` by track (index = row - NUM_SPECIALS), or None if the store lacks it."""
        assert name in TEXT_COLUMNS
        return TextColumn.read(self.path / "tracks" / name) if name in self.manifest.track_columns else None

    def track_array(self, name: str) -> NDArray[np.float32] | None:
        """Return `duration` [V] in seconds or `features` [V, F], or None if the store lacks it."""
        if name not in self.manifest.track_columns:
            return None
        return self._array(f"tracks/{name}.npy")

    def verify(self) -> None:
        """Check the content of all arrays against the manifest's fingerprint, and rows and offsets.

        Raises:
            FormatError: the content is not what was written.
        """
        digest = hashlib.blake2b(digest_size=16)
        for shard in self.manifest.shards:
            for name in ("tracks", "strength", "offsets", "session_key", *(c.name for c in self.manifest.side)):
                _take(digest, name, self._array(f"{shard.name}/{name}.npy"))
        _take_text(digest, self.vocabulary)
        for name in self.manifest.track_columns:
            text = self.track_text(name) if name in TEXT_COLUMNS else None
            if text is not None:
                _take_text(digest, text)
            else:
                _take(digest, name, self._array(f"tracks/{name}.npy"))
        if digest.hexdigest() != self.manifest.fingerprint:
            raise FormatError(f"{self.path} is not what was written (fingerprint differs); prepare the store again")
        rows = self.tracks
        inside = len(rows) == 0 or (rows.min() >= NUM_SPECIALS and rows.max() < self.num_tracks + NUM_SPECIALS)
        if not inside or np.any(np.diff(self.offsets) < 0):
            raise FormatError(f"{self.path} has rows outside its vocabulary; prepare the store again")

    def _check_counts(self) -> None:
        shards = self.manifest.shards
        sums = sum(s.num_sessions for s in shards), sum(s.num_rows for s in shards)
        if sums != (self.num_sessions, self.num_rows):
            raise FormatError(f"{self.path}: the manifest's counts do not add up; prepare the store again")

    def _array(self, name: str) -> NDArray[Any]:
        return read_array(self.path / name)

    def _flat(self, name: str, length: int) -> NDArray[Any]:
        parts = [self._array(f"{shard.name}/{name}.npy") for shard in self.manifest.shards]
        if sum(map(len, parts)) != length:
            raise FormatError(f"{self.path}: {name} has a wrong length; prepare the store again")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _take(digest: hashlib.blake2b, name: str, array: NDArray[Any]) -> None:
    digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _take_text(digest: hashlib.blake2b, column: TextColumn) -> None:
    digest.update(column.data.tobytes() + column.offsets.tobytes())
