"""The head of repeats equals loops over the plays of each listener, in training and in ranking."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns
from segue.batches.counts import TrainingCounts
from segue.batches.data import SessionData
from segue.batches.listener_past import ORDERS, PastOfTargets, PastPlays
from segue.batches.split import DataConfig, Split, split_store
from segue.model.heads import Added, Predicted, RepeatsConfig, RepeatsHead
from segue.model.heads.repeats import NAME
from segue.store import Store
from support.stores import rewritten, tiny_store, values_of

WIDTH = 8


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Forty sessions of three listeners over twelve tracks; two sessions at a time begin together."""
    tiny = tiny_store(tmp_path / "tiny", sessions=40, tracks=12)
    user, day = (np.arange(40) % 3).astype(np.int32), (17_800 + np.arange(40)[::-1] // 2).astype(np.int32)
    return rewritten(tmp_path / "store", tiny, values_of(tiny) | {columns.USER: user, columns.DATE: day})


def past_of(store: Store, split: Split, session: int, plays: int) -> list[tuple[int, int]]:
    """Return (session, track) of the last plays before a session."""
    user, day = np.asarray(store.side(columns.USER)), np.asarray(store.side(columns.DATE))
    readable = {
        int(np.searchsorted(store.offsets, begin, "right")) - 1: (int(begin), int(end))
        for begin, end in zip(*split.readable, strict=True)
    }
    before = [s for s in readable if user[s] == user[session] and (day[s], s) < (day[session], session)]
    before.sort(key=lambda s: (day[s], s))
    return [(s, int(store.tracks[row])) for s in before for row in range(*readable[s])][-plays:]


def shares(past: list[tuple[int, int]], lasts: list[int]) -> list[tuple[int, dict[int, float]]]:
    """Return, for each order and then for all plays, how many plays there are and the share of each track."""
    parts = []
    for order in range(1, ORDERS + 1):
        followers: list[int] = []
        for place in range(order, len(past)):
            window = past[place - order : place + 1]
            if len({s for s, _ in window}) == 1 and [t for _, t in window[:-1]] == lasts[-order:]:
                followers.append(past[place][1])
        found: dict[int, float] = defaultdict(float)
        for track in followers:
            found[track] += 1 / len(followers)
        parts.append((len(followers), found))
    whole = sum(ago**-0.5 for ago in range(1, len(past) + 1))
    found = defaultdict(float)
    for ago, (_, track) in enumerate(reversed(past), 1):
        found[track] += ago**-0.5 / whole
    return [*parts, (len(past), found)]


def head_of(store: Store) -> RepeatsHead:
    torch.manual_seed(0)
    head = RepeatsHead(RepeatsConfig(), WIDTH, TrainingCounts.nothing(store.num_tracks + 3))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


KINDS = ["leave-last-two-out", "chronological", "temporal"]


@pytest.mark.parametrize("plays", [7, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_of_a_target_are_those_of_a_loop(store: Store, kind: str, plays: int) -> None:
    split, offsets = split_store(store, DataConfig(split=kind)), np.asarray(store.offsets)  # type: ignore[arg-type]
    facts = PastOfTargets(store, split, plays, "cpu").gather(torch.arange(store.num_rows)).numpy()
    seen = 0
    for begin, end in zip(split.train_begin, split.train_end, strict=True):
        session = int(np.searchsorted(offsets, begin, "right")) - 1
        past = past_of(store, split, session, plays)
        for row in range(begin + 1, end):
            lasts, target = store.tracks[begin:row].tolist(), int(store.tracks[row])
            for order, (num, share) in enumerate(shares(past, lasts)):
                if order == ORDERS:
                    assert facts[row, -2] == num
                    assert facts[row, -1] == pytest.approx(share.get(target, 0.0), rel=1e-5)
                else:
                    num = num if row - begin > order else 0
                    assert facts[row, order] == num
                    assert facts[row, ORDERS + order] == pytest.approx(num * share.get(target, 0.0))
                    seen += num > 0
    assert seen > 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_mass_in_a_ranking_is_that_of_a_loop(store: Store, kind: str) -> None:
    split = split_store(store, DataConfig(split=kind))  # type: ignore[arg-type]
    cases, head = split.cases["test"], head_of(store)
    data = SessionData.load(store, split, "cpu", {NAME: PastPlays(store, split, 30, "cpu")})
    batch = data.context_batch(cases, np.arange(len(cases)), 20)
    states = torch.randn(len(cases), WIDTH)
    mass = mass_of(head.added(states, batch, torch.zeros(0, WIDTH)))
    for index, session in enumerate(cases.session):
        lasts = store.tracks[cases.begin[index] : cases.target[index]].tolist()
        parts = shares(past_of(store, split, int(session), 30), lasts)
        times = torch.tensor([[float(num) for num, _ in parts]])
        gates = head.gate_logits(states[index, None], times)[0].tolist()
        wanted: dict[int, float] = defaultdict(float)
        for gate, (_, share) in zip(gates, parts, strict=True):
            for track, part in share.items():
                wanted[track] += math.exp(gate) * part
        assert mass[index].keys() == wanted.keys()
        for track, value in wanted.items():
            assert mass[index][track] == pytest.approx(value, rel=1e-5)


def mass_of(added: Added | None) -> dict[int, dict[int, float]]:
    assert added is not None
    result: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for session, track, log_mass in zip(added.session, added.tracks, added.log_mass, strict=True):
        result[int(session)][int(track)] += math.exp(log_mass)
    return result


def test_training_and_ranking_give_a_target_the_same_mass(store: Store) -> None:
    """The facts of a target row, and the plays before its session: one formula."""
    split, head = split_store(store, DataConfig(split="chronological")), head_of(store)
    rows = split.train_end - 1
    sessions = np.searchsorted(np.asarray(store.offsets), rows, side="right") - 1
    facts = PastOfTargets(store, split, 30, "cpu").gather(torch.from_numpy(rows))
    states, target = torch.randn(len(rows), WIDTH), torch.from_numpy(np.asarray(store.tracks)[rows].astype(np.int64))
    data = SessionData.load(store, split, "cpu", {NAME: PastPlays(store, split, 30, "cpu")})
    cases = type(split.cases["test"])(sessions, split.train_begin, rows)
    batch = data.context_batch(cases, np.arange(len(rows)), 20)
    unused = torch.zeros(len(rows), dtype=torch.bool)
    predicted = Predicted(states, target, target, unused, unused, batch, states, {NAME: facts})
    mixture = head.mixture(predicted)
    assert mixture is not None
    mass = mass_of(head.added(states, batch, torch.zeros(0, WIDTH)))
    log_mass = (mixture.gate + mixture.log_share).tolist()
    some = 0
    for index, track in enumerate(target.tolist()):
        expected = mass[index].get(track, 0.0)
        assert math.exp(max(log_mass[index], -700)) == pytest.approx(expected, rel=1e-4, abs=1e-30)
        some += expected > 0
    assert some > 10
