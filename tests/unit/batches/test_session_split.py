"""Whole sessions are held out by a hash of their keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue.batches.split import DataConfig, split_store
from support.stores import tiny_store

SESSIONS = DataConfig(split="sessions")


def test_each_session_is_in_one_part_and_a_tenth_of_them_in_each_that_is_held_out(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=2000)
    split, offsets = split_store(store, SESSIONS), np.asarray(store.offsets)
    held_out = {name: cases.session for name, cases in split.cases.items()}
    assert not set(held_out["validation"]) & set(held_out["test"])
    for cases in split.cases.values():
        assert 0.07 < len(cases) / store.num_sessions < 0.13
        assert not np.isin(offsets[cases.session], split.train_begin).any()
        assert np.array_equal(cases.begin, offsets[cases.session])
        assert np.array_equal(cases.target, offsets[cases.session + 1] - 1), "the last track"
    whole = np.searchsorted(offsets, split.train_begin)
    assert np.array_equal(split.train_end, offsets[whole + 1])
    rest = np.setdiff1d(np.arange(store.num_sessions), np.concatenate([whole, *held_out.values()]))
    assert (np.diff(offsets)[rest] < 2).all()


def test_the_part_of_a_session_does_not_depend_on_the_others(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=400)
    every = split_store(store, SESSIONS).cases["test"].session
    some = split_store(store, DataConfig(split="sessions", sample_sessions=150))
    assert set(some.cases["test"].session) == set(every) & set(some.sessions)
