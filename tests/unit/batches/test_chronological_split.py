"""The last sessions of each listener are held out, and what the listener heard before them may be read."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from segue import columns
from segue.batches.held_out import RETURNING, kind_for
from segue.batches.listener_past import listener_ranges
from segue.batches.split import DataConfig, split_store
from segue.errors import InputError
from segue.store import Store
from segue.store.manifest import SideColumn
from support.stores import SIDE, rewritten, tiny_store, values_of

DATA = DataConfig(split="chronological")
AT = SideColumn(columns.AT, "int64")


def store_of(path: Path, user: list[int], days: list[int]) -> Store:
    """Return a store whose session i is of listener `user[i]` and began on day `days[i]`."""
    store = tiny_store(path / "tiny", sessions=len(user))
    values = values_of(store) | {columns.USER: np.array(user, np.int32), columns.DATE: np.array(days, np.int32)}
    return rewritten(path / "store", store, values)


def test_each_listener_is_cut_by_time_of_its_own(tmp_path: Path) -> None:
    """Shares of .8, .1 and .1, rounded down; the order of the store does not matter, and ties are as stored."""
    user = [0] * 10 + [1] * 20 + [2] * 2 + [3]
    generator = np.random.default_rng(0)
    days = generator.permutation(len(user)).tolist()
    shuffled = generator.permutation(len(user))
    store = store_of(tmp_path, np.array(user)[shuffled].tolist(), np.array(days)[shuffled].tolist())
    split = split_store(store, DATA)
    user_of, day_of = np.asarray(store.side(columns.USER)), np.asarray(store.side(columns.DATE))
    offsets = np.asarray(store.offsets)
    training = np.searchsorted(offsets, split.train_begin, side="right") - 1
    parts = {"training": training, **{which: cases.session for which, cases in split.cases.items()}}
    sizes = {name: np.bincount(user_of[part], minlength=4).tolist() for name, part in parts.items()}
    assert sizes == {"training": [8, 16, 1, 1], "validation": [1, 2, 0, 0], "test": [1, 2, 1, 0]}
    for listener in range(3):
        ends = [day_of[part[user_of[part] == listener]] for part in parts.values()]
        ends = [part for part in ends if len(part)]
        assert all(early.max() < late.min() for early, late in itertools.pairwise(ends))
    for cases in split.cases.values():
        np.testing.assert_array_equal(cases.target, offsets[cases.session + 1] - 1)
    np.testing.assert_array_equal(split.train_end, offsets[training + 1])


def test_what_was_heard_before_is_read_whatever_it_is_for(tmp_path: Path) -> None:
    store = store_of(tmp_path, [0] * 20, list(range(20)))
    split, offsets = split_store(store, DATA), np.asarray(store.offsets)
    past = listener_ranges(store, split)
    np.testing.assert_array_equal(past.rows, np.arange(store.num_rows))
    np.testing.assert_array_equal(past.end, offsets[:-1])
    within = split_store(store, DataConfig(split="leave-last-two-out"))
    np.testing.assert_array_equal(listener_ranges(store, within).rows, within.training_rows)


@pytest.mark.parametrize(("days", "kind"), [(RETURNING, "chronological"), (RETURNING - 1, "leave-last-two-out")])
def test_listeners_who_come_back_are_split_by_time(tmp_path: Path, days: int, kind: str) -> None:
    """Two sessions on each day, two listeners."""
    store = store_of(tmp_path, [0, 1] * 2 * days, np.repeat(np.arange(days), 4).tolist())
    assert kind_for(store) == kind
    split = split_store(store, DataConfig())
    assert split.kind == kind
    same = split_store(store, DataConfig(split=kind))  # type: ignore[arg-type]
    np.testing.assert_array_equal(split.train_begin, same.train_begin)


def test_a_store_without_listeners_or_times_is_split_within_sessions(tmp_path: Path) -> None:
    store = store_of(tmp_path, [0] * 30, list(range(30)))
    assert kind_for(store) == "chronological"
    for number, column in enumerate((columns.USER, columns.DATE)):
        side = tuple(one for one in SIDE if one.name != column)
        bare = rewritten(tmp_path / f"bare-{number}", store, values_of(store), side)
        assert split_store(bare, DataConfig()).kind == "leave-last-two-out"
        with pytest.raises(InputError, match="who listened when"):
            split_store(bare, DATA)


def test_times_count_before_dates(tmp_path: Path) -> None:
    """Two sessions of one day are in the order of their first events."""
    store = store_of(tmp_path, [0] * 12, [7] * 12)
    values = values_of(store)
    late = np.repeat(np.arange(12)[::-1], np.diff(store.offsets))
    values[columns.AT] = 7 * 86_400 + 60 * late
    split = split_store(rewritten(tmp_path / "times", store, values, (*SIDE, AT)), DATA)
    assert split.cases["test"].session.tolist() == [0, 1]
    assert split.cases["validation"].session.tolist() == [2]
