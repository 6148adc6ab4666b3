"""Small stores for the tests: sessions of unequal length, one without skips, one all skips."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.hashing import pack_text, session_keys
from segue.store import NUM_SPECIALS, Store, StoreWriter, Vocabulary
from segue.store.manifest import SideColumn, StoreSource
from segue.store.writer import SessionColumns, TrackTable

SIDE = (
    SideColumn(columns.INFERRED, "bool"),
    SideColumn(columns.DATE, "int32", "session"),
    SideColumn(columns.USER, "int32", "session"),
)
CONTEXT = (
    SideColumn(columns.HOUR, "uint8"),
    SideColumn(columns.PREMIUM, "bool"),
    SideColumn(columns.CONTEXT_TYPE, "uint8", categories=("catalog", "charts", "radio")),
    SideColumn(columns.SHUFFLE, "bool"),
    SideColumn(columns.AT, "int64"),
)
Values = dict[str, NDArray[np.generic]]


def tiny_store(
    path: Path,
    sessions: int = 24,
    seed: int = 0,
    *,
    tracks: int = 40,
    longest: int = 12,
    num_shards: int = 1,
    rich: bool = False,
) -> Store:
    """Return a store of `sessions` sessions of 3 to `longest` events over `tracks` tracks, written to `path`.

    Session 0 has no skips, session 1 is all skips, session 2 is the shortest (3 events), session 3 the longest;
    about one strength in twenty is unknown elsewhere. Tracks follow the one before them (t + 1) half of the time,
    so that there is something to learn; `rich`: with every input of `data.context`, and five features of each track
    that tell its number, one of them never known, and none of every seventh track. Dates rise by a day every fourth
    session; there are sessions / 3 users.
    """
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, longest + 1, sessions)
    lengths[2:3], lengths[3:4] = 3, longest
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    rows = int(offsets[-1])
    drawn = generator.integers(0, tracks, rows)
    fresh = generator.random(rows) < 0.5
    fresh[offsets[:-1]] = True
    start = np.maximum.accumulate(np.where(fresh, np.arange(rows), 0))
    values = (drawn[start] + np.arange(rows) - start) % tracks + NUM_SPECIALS
    strength = generator.choice(np.array([0, 1, 2, 3, 255], np.uint8), rows, p=[0.4, 0.1, 0.15, 0.3, 0.05])
    strength[: offsets[1]] = 0
    strength[offsets[1] : offsets[2]] = 3
    keys = session_keys(*pack_text([f"session {i}" for i in range(sessions)]))
    bounds = np.linspace(0, sessions, num_shards + 1).astype(np.int64)
    beside = _context(offsets, generator) if rich else {}
    with StoreWriter(path, StoreSource("simulation", path.name), (*SIDE, *(CONTEXT if rich else ()))) as writer:
        for first, last in itertools.pairwise(bounds):
            low, high = int(offsets[first]), int(offsets[last])
            days = np.arange(first, last)
            side = {
                columns.INFERRED: np.zeros(high - low, np.bool_),
                columns.DATE: (17_800 + days // 4).astype(np.int32),
                columns.USER: (days // 3).astype(np.int32),
            }
            side |= {name: column[low:high] for name, column in beside.items()}
            events = values[low:high].astype(np.int32), strength[low:high], offsets[first : last + 1] - low
            writer.add_shard(SessionColumns(*events, keys[first:last], side))
        names = Vocabulary.from_texts([f"t{i:04d}" for i in range(tracks)])
        assert isinstance(names, Vocabulary)
        titles = [f"Title {i}" for i in range(tracks)]
        artists = [f"Artist {i // 4}" for i in range(tracks)]
        if rich:
            known = _features(tracks)
            writer.finish(names, TrackTable(titles, artists, features=known, feature_names=tuple("abcde")))
        else:
            writer.finish(names, TrackTable(title=titles, artist=artists))
    return Store(path)


def values_of(store: Store) -> Values:
    """Return the columns of a store by name, to be changed at will."""
    side = {column.name: np.array(store.side(column.name)) for column in store.manifest.side}
    return side | {"tracks": np.array(store.tracks), "strength": np.array(store.strength)}


def rewritten(path: Path, like: Store, values: Values, side: tuple[SideColumn, ...] | None = None) -> Store:
    """Return a store at `path` with the sessions and the vocabulary of `like`, and `values`; `side`: its columns."""
    beside = like.manifest.side if side is None else side
    with StoreWriter(path, like.manifest.source, beside) as writer:
        events = values["tracks"], values["strength"], np.array(like.offsets), np.array(like.session_key)
        writer.add_shard(SessionColumns(*events, {column.name: values[column.name] for column in beside}))
        names = Vocabulary.from_texts(like.vocabulary.texts(np.arange(like.num_tracks)))
        assert isinstance(names, Vocabulary)
        writer.finish(names, TrackTable())
    return Store(path)


def _features(tracks: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    number = np.arange(tracks)
    values = np.stack([np.sin(number * scale) for scale in (0.3, 0.7, 1.1, 1.9, 1.0)], axis=1).astype(np.float32)
    values[:, 4] = np.nan
    values[::7] = np.nan
    return values


def _context(offsets: np.ndarray[tuple[int], np.dtype[np.int64]], generator: np.random.Generator) -> dict[str, Any]:
    rows = int(offsets[-1])
    return {
        columns.HOUR: generator.integers(0, 24, rows).astype(np.uint8),
        columns.PREMIUM: generator.random(rows) < 0.5,
        columns.CONTEXT_TYPE: generator.integers(0, 3, rows).astype(np.uint8),
        columns.SHUFFLE: generator.random(rows) < 0.5,
        columns.AT: 1_540_000_000 + np.cumsum(generator.integers(1, 600, rows)),
    }
