"""Targets of the day after equal a loop over each listener's training plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns, skips
from segue.batches.data import SessionData
from segue.batches.example import ExampleConfig, draw_example, make_example, with_rule
from segue.batches.later_plays import LaterPlays
from segue.batches.split import DataConfig, Split, split_store
from segue.errors import InputError
from segue.recipes import load_recipe
from segue.store import Store
from segue.store.manifest import SideColumn
from support.stores import SIDE, rewritten, tiny_store, values_of

DAY, GAP = 86_400, 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sixty sessions of three listeners, every five hours one, and tracks every 20 minutes."""
    tiny = tiny_store(tmp_path / "tiny", sessions=60, tracks=30)
    offsets = np.asarray(tiny.offsets)
    within = np.arange(tiny.num_rows) - np.repeat(offsets[:-1], np.diff(offsets))
    begin = 1_500_000_000 + 18_000 * np.arange(60)
    values = values_of(tiny) | {
        columns.USER: (np.arange(60) % 3).astype(np.int32),
        columns.AT: (np.repeat(begin, np.diff(offsets)) + 1_200 * within).astype(np.int64),
        columns.DATE: (begin // DAY).astype(np.int32),
    }
    return rewritten(tmp_path / "store", tiny, values, (*SIDE, SideColumn(columns.AT, "int64")))


def day_after(store: Store, split: Split, row: int) -> list[int]:
    """Return the training rows that the listener of `row` listened to in the 24 hours from GAP minutes after it."""
    session = np.repeat(np.arange(store.num_sessions), np.diff(store.offsets))
    user, at = np.asarray(store.side(columns.USER))[session], np.asarray(store.side(columns.AT))
    first = at[row] + 60 * GAP
    training = split.training_rows.tolist()
    return [
        other
        for other in training
        if user[other] == user[row] and first <= at[other] < first + DAY and skips.listened(int(store.strength[other]))
    ]


@pytest.mark.parametrize("kind", ["leave-last-two-out", "chronological"])
def test_each_play_of_the_day_after_is_drawn_and_no_other(store: Store, kind: str) -> None:
    split = split_store(store, DataConfig(split=kind))  # type: ignore[arg-type]
    later = LaterPlays.load(store, split, GAP, "cpu")
    draws = torch.linspace(0.0, 0.999999, 400)
    some = 0
    for row in split.training_rows.tolist():
        found = set(later.drawn(torch.full((400,), row), draws).tolist())
        wanted = set(day_after(store, split, row))
        assert found == (wanted or {-1})
        some += len(wanted) > 3
    assert some > 20
    held_out = np.setdiff1d(np.arange(store.num_rows), split.training_rows)
    assert (later.drawn(torch.from_numpy(held_out), torch.full((len(held_out),), 0.5)) == -1).all()


def test_targets_of_an_example_are_plays_of_the_day_after(store: Store) -> None:
    split = split_store(store, DataConfig(split="chronological"))
    later = LaterPlays.load(store, split, GAP, "cpu")
    plain = SessionData.load(store, split, "cpu")
    data = SessionData(**{**vars(plain), "later": later})
    config = ExampleConfig(masked=False, max_len=20, width=21, replaced_share=0.0, shifted=False)
    index = torch.tensor([0, 5, 2, -1])
    positions = int((data.train_end - data.train_begin)[index[:3]].sum())  # three more than there are
    drawn = draw_example(config, data, (4, positions), torch.Generator().manual_seed(1))
    example = with_rule(make_example(config, data, index, positions, drawn), "next_day", 2)
    expected = make_example(
        config, plain, index, positions, draw_example(config, plain, (4, positions), torch.Generator())
    )
    assert torch.equal(example.following, expected.target)
    position = 0
    for number in index[:3].tolist():
        for row in range(int(split.train_begin[number]), int(split.train_end[number]) - 1):
            wanted = day_after(store, split, row)
            target = int(example.target[position])
            assert target in ({int(store.tracks[other]) for other in wanted} or {0})
            heard = {int(store.strength[other]) for other in wanted if int(store.tracks[other]) == target}
            assert int(example.target_feedback[position]) in (heard or {skips.FEEDBACK_HIDDEN})
            assert int(example.ids[example.target_place[position]]) == target or target == 0
            position += 1
    assert (example.target[:position] > 0).sum() > 10
    assert (example.target[position:] == 0).all()
    places = example.target_place[example.target > 0]
    assert len(places.unique()) == len(places)


def test_a_store_without_listeners_or_times_is_refused(tmp_path: Path) -> None:
    plain = tiny_store(tmp_path / "tiny", sessions=20)
    with pytest.raises(InputError, match="does not say who listened when, which targets = 'next_day' needs"):
        LaterPlays.load(plain, split_store(plain, DataConfig()), GAP, "cpu")


def test_auto_targets_are_those_of_the_split(store: Store) -> None:
    recipe = load_recipe("segue")
    assert recipe.next_track.targets == "auto"
    for kind, targets in (("chronological", "next"), ("next-day", "next_day")):
        config = {"data.split": kind, "data.next_day.days": 2}
        split = split_store(store, load_recipe("segue", config).data)
        assert load_recipe("segue", config).resolved(split, "cpu").next_track.targets == targets
    fixed = load_recipe("segue", {"next_track.targets": "listened", "data.split": "next-day", "data.next_day.days": 2})
    assert fixed.resolved(split, "cpu").next_track.targets == "listened"
    with pytest.raises(
        InputError, match=r"targets = 'next_day' predicts from each position, and encoder.kind = 'cloze'"
    ):
        load_recipe("paper-cloze-s-minus", {"next_track.targets": "next_day"})
