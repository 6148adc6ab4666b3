"""A small store and run of listeners who come back, and what they played before, for tests of what is served."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from segue import columns
from segue.batches.listener_past import listener_ranges
from segue.batches.split import Split
from segue.config import dump_toml
from segue.serving.sessions.store import Logged, PastSessions
from segue.store import Store
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of


def listeners_store(path: Path, sessions: int = 240, tracks: int = 60) -> Store:
    """Return a store of four listeners, whose last sessions hold tracks that nobody played before (simulated).

    Sessions begin hours apart, some of them in the same minute; one in five tracks is one of eight favourites.
    """
    like = tiny_store(path / "tiny", sessions=sessions, tracks=tracks, rich=True)
    values, draw = values_of(like), np.random.default_rng(0)
    session = np.repeat(np.arange(sessions), np.diff(np.asarray(like.offsets)))
    old = (values["tracks"] - 3) % (tracks - 10) + 3
    late = (session >= 0.85 * sessions) & (draw.random(len(old)) < 0.2)
    old[late] = tracks + 2 - draw.integers(0, 10, len(old))[late]
    favourite = draw.random(len(old)) < 0.2
    old[favourite] = 3 + draw.integers(0, 8, len(old))[favourite]
    began = 1_540_000_000 + np.cumsum(draw.integers(0, 9, sessions) * 20_000)
    at = began[session] + 200 * (np.arange(len(old)) - np.asarray(like.offsets)[:-1][session])
    user = (np.arange(sessions) % 4).astype(np.int32)
    changed = {"tracks": old.astype(np.int32), columns.AT: at.astype(np.int64), columns.USER: user}
    return rewritten(path / "store", like, values | changed | {columns.DATE: (began // 86_400).astype(np.int32)})


def listeners_run(folder: Path, **changes: Any) -> Path:
    """Return a run of two epochs on such a store, both under `folder`; `changes`: of its recipe, by key."""
    listeners_store(folder)
    given = {"training.epochs": 2, "data.split": "chronological", "data.vocabulary": "catalogue"} | changes
    recipe = small_recipe("segue", **{"heads.repeats": True} | given)
    (folder / "recipe.toml").write_text(dump_toml(recipe.to_tables()), encoding="utf-8")
    train(folder / "store", folder / "run", TrainOptions(recipe=str(folder / "recipe.toml"), device="cpu"))
    return folder / "run"


def past_sessions(store: Store, split: Split, session: int, most: int = 1000) -> PastSessions:
    """Return what the listener of a session played before it, as a service reads it."""
    past, offsets = listener_ranges(store, split), np.asarray(store.offsets)
    rows = past.rows[past.begin[session] : past.end[session]][-most:].tolist()
    begun = np.searchsorted(offsets, rows, side="right").tolist()
    events = [
        (begin, Logged(store.vocabulary.track_id(int(store.tracks[row])), int(store.strength[row]), float(at)))
        for begin, row, at in zip(begun, rows, np.asarray(store.side(columns.AT))[rows].tolist(), strict=True)
    ]
    return tuple(tuple(event for _, event in group) for _, group in itertools.groupby(events, key=lambda each: each[0]))
