"""The head of repeats equals loops over the plays of each listener, in training and in ranking."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segue import columns, skips
from segue.batches.counts import TrainingCounts
from segue.batches.data import SessionData
from segue.batches.example import ExampleConfig, draw_example, make_example
from segue.batches.listener_past import PastPlays
from segue.batches.split import DataConfig, Split, split_store
from segue.model.heads import Predicted, RepeatsConfig, RepeatsHead, RepeatsWeights, repeats
from segue.model.heads.repeat_kinds import AROUND, DISTANCES, KINDS
from segue.model.heads.repeats import AGE_BOUNDS, NAME, SPEED, TIME_BOUNDS
from segue.store import UNKNOWN, Store
from segue.store.manifest import SideColumn
from support.stores import SIDE, rewritten, tiny_store, values_of

WIDTH, MAX_LEN = 8, 20
SPLITS = ["leave-last-two-out", "chronological", "temporal"]


@pytest.fixture(params=["times", "dates"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    """Forty sessions of three listeners over nine tracks; two sessions at a time begin together."""
    tiny = tiny_store(tmp_path / "tiny", sessions=40, tracks=9)
    values = values_of(tiny)
    values[columns.USER] = (np.arange(40) % 3).astype(np.int32)
    values[columns.DATE] = (17_800 + np.arange(40)[::-1] // 2).astype(np.int32)
    if request.param == "times":
        offsets = np.asarray(tiny.offsets)
        within = np.arange(tiny.num_rows) - np.repeat(offsets[:-1], np.diff(offsets))
        values[columns.AT] = np.repeat(values[columns.DATE], np.diff(offsets)).astype(np.int64) * 86_400 + 200 * within
    side = (*SIDE, SideColumn(columns.AT, "int64")) if columns.AT in values else SIDE
    return rewritten(tmp_path / "store", tiny, values, side)


def split_of(store: Store, kind: str) -> Split:
    return split_store(store, DataConfig(split=kind, vocabulary="transductive"))  # type: ignore[arg-type]


def begins(store: Store) -> list[int]:
    """Return when each session began, seconds."""
    if store.side_column(columns.AT) is None:
        return [int(day) * 86_400 for day in store.side(columns.DATE)]
    return np.asarray(store.side(columns.AT))[np.asarray(store.offsets)[:-1]].tolist()


def rows_before(store: Store, split: Split, session: int, plays: int) -> list[tuple[int, int]]:
    """Return (session, row) of the last plays before a session."""
    user, begin = np.asarray(store.side(columns.USER)), begins(store)
    readable = {
        int(np.searchsorted(store.offsets, first, "right")) - 1: (int(first), int(end))
        for first, end in zip(*split.readable, strict=True)
    }
    before = [s for s in readable if user[s] == user[session] and (begin[s], s) < (begin[session], session)]
    before.sort(key=lambda s: (begin[s], s))
    return [(s, row) for s in before for row in range(*readable[s])][-plays:]


def code(value: int, bounds: tuple[int, ...]) -> int:
    return sum(value >= bound for bound in bounds)


def log_weights(
    head: RepeatsHead, store: Store, before: list[tuple[int, int]], now: list[int]
) -> list[tuple[int, list[float]]]:
    """Return track and w of the plays before the session (`before`: session and row), then of its rows `now`."""
    strength = np.asarray(store.strength).tolist()
    heard = [min(one, skips.FEEDBACK_UNKNOWN) for one in strength]
    has_times, start_of = store.side_column(columns.AT) is not None, begins(store)
    begin, found = start_of[int(np.searchsorted(store.offsets, now[0], "right")) - 1] // 60, []
    for index, (s, row) in enumerate(before):
        at = int(store.side(columns.AT)[row]) if has_times else start_of[s]
        age, time = code(len(before) - index, AGE_BOUNDS), code(max(begin - at // 60, 0), TIME_BOUNDS)
        found.append((row, head.age[age] + head.time[time] + head.heard[heard[row]]))
    found += [(row, head.now + head.heard[heard[row]]) for row in now]
    return [(int(store.tracks[row]), (SPEED * learnt).tolist()) for row, learnt in found]


def masses(
    head: RepeatsHead, store: Store, before: list[tuple[int, int]], now: list[int], state: Tensor
) -> dict[int, float]:
    """Return the mass of each track after the rows `now` of one session and the plays before it."""
    plays = log_weights(head, store, before, now)
    tracks, num = [track for track, _ in plays], len(before)
    lasts, length = tracks[num:], len(tracks)
    near = dict(zip(DISTANCES, (SPEED * head.near).exp().tolist(), strict=True))
    again = math.exp(SPEED * head.again.item())
    counts = [[0.0] * length for _ in range(KINDS)]
    for j in range(length):
        if j < num:
            counts[0][j] = 1.0
            window = tracks[max(j - AROUND, 0) : min(j + AROUND + 1, num)]
            counts[4][j] = float(sum(track in lasts for track in window)) * (again if tracks[j] in lasts else 1.0)
        for distance, weight in near.items():
            after = j - distance  # a play of the last track, before now
            if 0 <= after < length - 1 and tracks[after] == lasts[-1] and (j < num or distance <= 1):
                counts[1][j] += weight
        for order in (2, 3):
            if j >= order and len(lasts) >= order and tracks[j - order : j] == lasts[-order:]:
                counts[order][j] = 1.0
    times = [num, tracks[:-1].count(lasts[-1]), *(sum(map(bool, counts[kind])) for kind in (2, 3))]
    times.append(sum(track in lasts for track in tracks[:num]))
    gates = head.gate_logits(state, torch.tensor(times).float()).tolist()
    mass: dict[int, float] = defaultdict(float)
    for kind in range(KINDS):
        for j, (track, weights) in enumerate(plays):
            if counts[kind][j] > 0:
                mass[track] += counts[kind][j] * math.exp(gates[kind] + weights[min(kind, 1)])
    return mass


def head_of(store: Store) -> RepeatsHead:
    torch.manual_seed(0)
    head = RepeatsHead(RepeatsConfig(), WIDTH, TrainingCounts.nothing(store.num_tracks + 3))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return head


@pytest.mark.parametrize("plays", [7, 1000])
@pytest.mark.parametrize("kind", SPLITS)
def test_the_mass_in_a_ranking_is_that_of_a_loop(store: Store, kind: str, plays: int) -> None:
    split = split_of(store, kind)
    cases, head = split.cases["test"], head_of(store)
    head.ranking_weights = RepeatsWeights(offset=0.5)
    data = SessionData.load(store, split, "cpu", {NAME: PastPlays(store, split, plays, "cpu")})
    batch = data.context_batch(cases, np.arange(len(cases)), MAX_LEN)
    states = torch.randn(len(cases), WIDTH)
    added = head.added(states, batch, torch.zeros(0, WIDTH))
    assert added is not None
    mass: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for index, track, log_mass in zip(added.session, added.tracks, added.log_mass, strict=True):
        mass[int(index)][int(track)] += math.exp(log_mass - 0.5)
    some = 0
    for index, session in enumerate(cases.session):
        before = rows_before(store, split, int(session), plays)
        now = list(range(int(cases.begin[index]), int(cases.target[index])))
        wanted = masses(head, store, before, now, states[index])
        assert mass[index].keys() == wanted.keys()
        some += len(wanted) > 1
        for track, value in wanted.items():
            assert mass[index][track] == pytest.approx(value, rel=1e-4)
    assert some > 2


@pytest.mark.parametrize("form", [repeats.sums_of_matches, repeats.sums_of_cells])
@pytest.mark.parametrize("plays", [7, 1000])
@pytest.mark.parametrize("kind", SPLITS)
def test_the_mass_in_training_is_that_of_a_loop(
    store: Store, kind: str, plays: int, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every position of several sessions of different lengths, with a session of none among them."""
    monkeypatch.setattr(repeats, "sums_of_matches", form)
    split, head = split_of(store, kind), head_of(store)
    data = SessionData.load(store, split, "cpu", {NAME: PastPlays(store, split, plays, "cpu")})
    config = ExampleConfig(masked=False, max_len=MAX_LEN, width=MAX_LEN + 1, replaced_share=0.0, shifted=False)
    index = torch.tensor([*range(0, len(split.train_begin), 2), -1])
    lengths = (data.train_end - data.train_begin)[index[:-1]] - 1
    positions = int(lengths.sum()) + 3
    drawn = draw_example(config, data, (len(index), positions), torch.Generator())
    example = make_example(config, data, index, positions, drawn)
    states = torch.randn(positions, WIDTH)
    flags = torch.zeros(positions, dtype=torch.bool)
    last = example.ids[:positions]
    mixture = head.mixture(Predicted(states, last, example.target, flags, flags, example.batch, states))
    assert mixture is not None
    whole, of_target = mixture.gate.exp().tolist(), (mixture.gate + mixture.log_share).exp().tolist()
    some = position = 0
    for number in index[:-1].tolist():
        begin, end = int(split.train_begin[number]), int(split.train_end[number])
        session = int(np.searchsorted(store.offsets, begin, "right")) - 1
        before = rows_before(store, split, session, plays)
        for row in range(begin + 1, end):
            wanted = masses(head, store, before, list(range(begin, row)), states[position])
            assert whole[position] == pytest.approx(sum(wanted.values()), rel=1e-4)
            assert of_target[position] == pytest.approx(wanted.get(int(store.tracks[row]), 0.0), rel=1e-4)
            some += int(store.tracks[row]) in wanted
            position += 1
    assert some > 20
    assert whole[position:] == of_target[position:] == [0.0, 0.0, 0.0], "positions without a target"


def test_unknown_tracks_match_nothing(store: Store) -> None:
    """Neither each other nor a play before."""
    split, head = split_of(store, "chronological"), head_of(store)
    data = SessionData.load(store, split, "cpu", {NAME: PastPlays(store, split, 1000, "cpu")})
    batch = data.context_batch(split.cases["test"], np.arange(4), MAX_LEN)
    batch.tracks.fill_(UNKNOWN)
    states = torch.randn(4, WIDTH)
    added = head.added(states, batch, torch.zeros(0, WIDTH))
    assert added is not None
    assert len(added.tracks) == int((batch.session_side[NAME][:, :, 0] > 0).sum()), "the plays before alone"


def test_without_listeners_matches_of_the_session_remain(store: Store) -> None:
    split, head = split_of(store, "chronological"), head_of(store)
    batch = SessionData.load(store, split, "cpu").context_batch(split.cases["test"], np.arange(4), MAX_LEN)
    batch.tracks.fill_(5)
    added = head.added(torch.randn(4, WIDTH), batch, torch.zeros(0, WIDTH))
    assert added is not None
    assert set(added.tracks.tolist()) == {5}
    assert set(added.session.tolist()) == set(torch.nonzero(batch.lengths > 1)[:, 0].tolist())
