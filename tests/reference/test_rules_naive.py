"""Rules, Markov chains, similar tracks and a listener's plays by sorts equal plain loops."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.session_numbers import SESSION_NUMBER, SessionNumbers
from segue.batches.split import DataConfig, split_store
from segue.neighbours.sparse_scores import QUANTUM, FlatSessions, SparseScores, starts
from segue.ranking import rules_index
from segue.ranking.baselines import TrainingRows
from segue.ranking.baselines.item_neighbours import ItemNeighbours, ItemNeighboursConfig
from segue.ranking.baselines.markov import Markov, MarkovConfig
from segue.ranking.baselines.own_plays import OwnPlays, OwnPlaysConfig
from segue.ranking.baselines.recent_popularity import RecentPopularity, RecentPopularityConfig
from segue.ranking.baselines.sequential_rules import RulesConfig, SequentialRules
from segue.ranking.rules_index import RulesIndex
from support.stores import rewritten, tiny_store, values_of

NUM_ROWS = 30
Lists = list[list[int]]
Scores = list[dict[int, float]]


def flat(sessions: Lists) -> FlatSessions:
    tracks = np.array([track for one in sessions for track in one], np.int64)
    return FlatSessions(tracks, starts(np.array([len(one) for one in sessions], np.int64)))


def drawn(num: int, shortest: int, seed: int) -> Lists:
    rng = np.random.default_rng(seed)
    return [(3 + np.floor(24 * rng.random(rng.integers(shortest, 10)) ** 2)).astype(int).tolist() for _ in range(num)]


TRAINING = drawn(80, 2, 1)
ASKED = [[], [1], [5, 1, 29, 4], [4, 4, 4], *drawn(30, 1, 3), TRAINING[7][:-1], [*TRAINING[9], *TRAINING[9]]]
LEAVE_OUT = np.array([-1, 3, -1, 0, *range(30), 7, 9])
DATA = TrainingRows(
    tracks=flat(TRAINING).tracks,
    session=flat(TRAINING).session,
    strength=np.zeros(len(flat(TRAINING).tracks), np.uint8),
    skip_at_least=2,
    counts=np.bincount(flat(TRAINING).tracks, minlength=NUM_ROWS),
    candidates=np.arange(3, 27, dtype=np.int32),
)


def batch_of(sessions: Lists) -> Batch:
    """Return the batch of sessions; an empty one has one position that holds PAD."""
    one = flat([session or [0] for session in sessions])
    position = torch.zeros(len(one.tracks), dtype=torch.int64)
    tracks, offsets = torch.from_numpy(one.tracks), torch.from_numpy(one.offsets)
    return Batch(tracks, position, position, offsets, int(one.lengths.max()))


def by_session(scores: SparseScores, num: int) -> Scores:
    assert (np.diff(scores.session * NUM_ROWS + scores.track) > 0).all(), "not by session and track"
    found: Scores = [{} for _ in range(num)]
    for session, track, value in zip(scores.session, scores.track, scores.value, strict=True):
        found[session][int(track)] = float(value)
    return found


def of_matrix(matrix: object, num: int) -> Scores:
    dense = matrix.toarray() / QUANTUM  # type: ignore[attr-defined]
    return [{int(track): float(row[track]) for track in np.flatnonzero(row)} for row in dense[:num]]


def equal(found: Scores, wanted: Scores, within: float = 50 / QUANTUM) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert all(other.get(track, 0.0) == pytest.approx(value, abs=within) for track, value in one.items())
        assert all(one.get(track, 0.0) == pytest.approx(value, abs=within) for track, value in other.items())


def naive_rules(sessions: Lists, by_distance: list[float]) -> dict[int, dict[int, float]]:
    rules: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for session in sessions:
        for p, before in enumerate(session):
            for distance, weight in enumerate(by_distance, 1):
                if p + distance < len(session):
                    rules[before][session[p + distance]] += weight
    return rules


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("at_once", [2**23, 40])
def test_rules(monkeypatch: pytest.MonkeyPatch, leave_out: bool, shares: bool, at_once: int) -> None:
    monkeypatch.setattr(rules_index, "PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr(rules_index, "RULES_AT_ONCE", at_once)
    by_distance = [1.0, 1 / 2, 1 / 3]
    asked = flat(ASKED)
    weights = np.where(asked.step <= 3, np.exp(-(asked.step - 1) / 2.0), 0.0)
    wanted = []
    for session, out in zip(ASKED, LEAVE_OUT, strict=True):
        others = [one for i, one in enumerate(TRAINING) if not leave_out or i != out]
        rules, scores = naive_rules(others, by_distance), defaultdict(float)
        for step, track in enumerate(reversed(session[-3:])):
            total = sum(rules[track].values()) if shares else 1.0
            for after, weight in rules[track].items():
                scores[after] += math.exp(-step / 2.0) * weight / total
        wanted.append(scores)
    index = RulesIndex.of(flat(TRAINING), NUM_ROWS, np.array(by_distance))
    found = index.scores(asked, weights, LEAVE_OUT if leave_out else None, shares=shares)
    equal(by_session(found, len(ASKED)), wanted)
    assert sum(map(len, wanted)) > 200


def test_a_row_keeps_its_heaviest_rules_and_its_total() -> None:
    rules = naive_rules(TRAINING, [1.0])
    index = RulesIndex.of(flat(TRAINING), NUM_ROWS, np.ones(1), most=4)
    for row in range(NUM_ROWS):
        kept = slice(index.offsets[row], index.offsets[row + 1])
        heaviest = sorted(rules[row].items(), key=lambda rule: (-rule[1], rule[0]))[:4]
        assert dict(zip(index.after[kept].tolist(), index.weight[kept].tolist(), strict=True)) == dict(heaviest)
        assert index.totals[row] == sum(rules[row].values())


@pytest.mark.parametrize("weight", ["1/d", "1/d2", "same"])
def test_sequential_rules(weight: str) -> None:
    config = RulesConfig(steps=4, weight=weight, lasts=2, fade=1.5, shares=False)  # type: ignore[arg-type]
    of = {"1/d": lambda d: 1 / d, "1/d2": lambda d: 1 / d**2, "same": lambda d: 1.0}[weight]
    rules, wanted = naive_rules(TRAINING, [of(d) for d in (1, 2, 3, 4)]), []
    for session in ASKED:
        scores: dict[int, float] = defaultdict(float)
        for step, track in enumerate(reversed(session[-2:])):
            for after, value in rules[track].items():
                scores[after] += math.exp(-step / 1.5) * value
        wanted.append(scores)
    found = SequentialRules(DATA, config)._session_scores(batch_of(ASKED))
    equal(of_matrix(found, len(ASKED)), wanted)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_markov(order: int) -> None:
    tables: list[dict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(4)]
    for session in TRAINING:
        for i in range(1, len(session)):
            for k in range(1, min(i, 3) + 1):
                tables[k][tuple(session[i - k : i])][session[i]] += 1
    wanted, seen = [], 0
    for session in ASKED:
        scores: dict[int, float] = {}
        for k in range(1, order + 1):
            counts = tables[k].get(tuple(session[-k:]), Counter()) if len(session) >= k else Counter[int]()
            seen += k > 1 and bool(counts)
            if k == 1:
                scores = {track: count / counts.total() for track, count in counts.items()}
                continue
            tracks = {*scores, *counts}
            scores = {t: (counts[t] + 3 * scores.get(t, 0.0)) / (counts.total() + 3) for t in tracks}
        wanted.append(scores)
    found = Markov(DATA, MarkovConfig(order=order, prior=3.0))._session_scores(batch_of(ASKED))
    equal(of_matrix(found, len(ASKED)), wanted)
    assert seen > 10 or order == 1


def test_similar_tracks() -> None:
    held = [set(session) for session in TRAINING]
    support = {track: sum(track in one for one in held) for track in range(NUM_ROWS)}
    wanted = []
    for session in ASKED:
        scores: dict[int, float] = defaultdict(float)
        for step, track in enumerate(reversed(session[-3:])):
            for other in range(3, NUM_ROWS):
                both = sum(track in one and other in one for one in held)
                if other != track and both:
                    cosine = both / math.sqrt((support[track] + 5) * (support[other] + 5))
                    scores[other] += math.exp(-step / 2.0) * cosine
        wanted.append(scores)
    config = ItemNeighboursConfig(smoothing=5.0, lasts=3, fade=2.0)
    equal(of_matrix(ItemNeighbours(DATA, config)._session_scores(batch_of(ASKED)), len(ASKED)), wanted)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("split_name", ["leave-last-two-out", "temporal", "chronological"])
def test_own_plays(tmp_path: Path, split_name: str, order: int) -> None:
    tiny = tiny_store(tmp_path / "tiny", sessions=60, tracks=15)
    store = rewritten(tmp_path / "store", tiny, values_of(tiny) | {"user": (np.arange(60) % 6).astype(np.int32)})
    split = split_store(store, DataConfig(split=split_name))  # type: ignore[arg-type]
    cases = split.cases["test"]
    data = SessionData.load(store, split, "cpu", {SESSION_NUMBER: SessionNumbers()})
    batch = data.context_batch(cases, np.arange(len(cases)), 20)
    user, tracks = np.asarray(store.side("user")), np.asarray(store.tracks)
    part = {
        int(np.searchsorted(store.offsets, begin, "right")) - 1: tracks[begin:end].tolist()
        for begin, end in zip(*split.readable, strict=True)
    }
    wanted: Scores = []
    for session, context in zip(cases.session, sessions_of(batch), strict=True):
        before = [(s, t) for s in range(session) if user[s] == user[session] for t in part.get(s, [])]
        plays = [*before[-9:], *((session, t) for t in context)]  # the store's sessions are in the order of time
        total, shares = sum(ago**-0.5 for ago in range(1, len(plays) + 1)), defaultdict[int, float](float)
        for ago, (_, track) in enumerate(reversed(plays), 1):
            shares[track] += ago**-0.5 / total
        for length in range(1, order + 1):
            windows = [plays[place - length : place + 1] for place in range(length, len(plays))]
            same = [w for w in windows if len({s for s, _ in w}) == 1 and [t for _, t in w[:-1]] == context[-length:]]
            counts = Counter(w[-1][1] for w in same)
            if counts:
                shares = defaultdict(
                    float,
                    {t: (counts[t] + 2 * shares[t]) / (counts.total() + 2) for t in {*counts, *shares}},
                )
        wanted.append({track: value for track, value in shares.items() if track >= 3})
    config = OwnPlaysConfig(plays=9, decay=0.5, order=order, prior=2.0)
    found = OwnPlays(TrainingRows.of(store, split), config)._session_scores(batch)
    equal(of_matrix(found, len(cases)), wanted)
    assert sum(map(len, wanted)) > 30


def sessions_of(batch: Batch) -> list[list[int]]:
    """Return the tracks of each session of a batch."""
    offsets = batch.offsets.tolist()
    return [batch.tracks[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]


def test_recent_popularity(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=60)  # a day for every four sessions
    split = split_store(store, DataConfig())
    data, dates, wanted = TrainingRows.of(store, split), np.asarray(store.side("date")), Counter[int]()
    for begin, end in zip(split.train_begin, split.train_end, strict=True):
        session = int(np.searchsorted(store.offsets, begin, "right")) - 1
        if dates[session] > dates.max() - 3:
            wanted.update(np.asarray(store.tracks)[begin:end].tolist())
    found = np.floor(RecentPopularity(data, RecentPopularityConfig(days=3))._shared)
    assert found.tolist() == [wanted[row] for row in range(len(found))]
