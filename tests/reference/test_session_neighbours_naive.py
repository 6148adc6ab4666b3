"""Session neighbours by sorts equal plain loops over the papers' formulas."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from segue.neighbours import session_index, session_neighbours
from segue.neighbours.session_index import NOBODY, SessionIndex
from segue.neighbours.session_neighbours import (
    MIXED,
    OrderedConfig,
    VsknnConfig,
    neighbour_shares,
    ordered_scores,
    vsknn_scores,
)  # fmt: skip
from segue.neighbours.sparse_scores import QUANTUM, FlatSessions, SparseScores, starts

NUM_ROWS = 40
Lists = list[list[int]]
Near = list[tuple[int, float, int, int]]


def flat(sessions: Lists) -> FlatSessions:
    tracks = np.array([track for one in sessions for track in one], np.int64)
    return FlatSessions(tracks, starts(np.array([len(one) for one in sessions], np.int64)))


def drawn(num: int, shortest: int, seed: int) -> Lists:
    """Return sessions with popular tracks, so that tracks repeat."""
    rng = np.random.default_rng(seed)
    return [(3 + np.floor(32 * rng.random(rng.integers(shortest, 10)) ** 2)).astype(int).tolist() for _ in range(num)]


TRAINING = drawn(120, 2, 1)
BEGAN = np.random.default_rng(2).integers(0, 40, len(TRAINING))  # ties in time
ASKED = [[], [1], [5, 1, 39, 4], [4, 4, 4], *drawn(40, 1, 3), TRAINING[7][:-1], [*TRAINING[9], *TRAINING[9]]]
LEAVE_OUT = np.array([NOBODY, 3, NOBODY, 0, *range(40), 7, 9])


def naive_near(asked: list[int], weights: list[float], number: int, recent: int, out: int, by_size: bool) -> Near:
    """Return (training session, similarity, step and position of the most recent common track), best first."""
    by_age = sorted(range(len(TRAINING)), key=lambda i: (BEGAN[i], i))
    age = {session: rank for rank, session in enumerate(by_age)}
    last = {track: i for i, track in enumerate(asked)}
    found: Near = []
    candidates: dict[int, list[int]] = defaultdict(list)
    for track in last:
        holders = [session for session in by_age if track in TRAINING[session]]
        for session in holders[-recent:]:
            candidates[session].append(track)
    for session, common in candidates.items():
        if session == out:
            continue
        total = sum(round(weights[last[track]] * QUANTUM) for track in common)
        if by_size:
            total = round(total / math.sqrt(len(set(TRAINING[session]))))
        latest = max(last[track] for track in common)
        position = max(i for i, track in enumerate(TRAINING[session]) if track == asked[latest])
        found.append((session, total / QUANTUM, len(asked) - latest, position))
    return sorted(found, key=lambda one: (-one[1], -age[one[0]]))[:number]


def by_session(scores: SparseScores, num: int) -> list[dict[int, float]]:
    assert (np.diff(scores.session * NUM_ROWS + scores.track) > 0).all(), "not by session and track"
    found: list[dict[int, float]] = [{} for _ in range(num)]
    for session, track, value in zip(scores.session, scores.track, scores.value, strict=True):
        found[session][int(track)] = float(value)
    return found


def equal(found: list[dict[int, float]], wanted: list[dict[int, float]]) -> None:
    for one, other in zip(found, wanted, strict=True):
        # a naive score below a quantum may round to 0
        assert set(one) <= set(other)
        assert all(one.get(track, 0.0) == pytest.approx(other[track], abs=50 / QUANTUM) for track in other)


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        VsknnConfig(),
        VsknnConfig(neighbours=4, recent=6, decay="quadratic"),
        VsknnConfig(neighbours=9, recent=20, decay="harmonic", heard=False),
        VsknnConfig(neighbours=9, decay="log"),
        VsknnConfig(neighbours=9, decay="same", heard=False),
    ],
)
def test_v_sknn(config: VsknnConfig, leave_out: bool) -> None:
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN, config.recent)
    wanted = []
    for asked, out in zip(ASKED, LEAVE_OUT, strict=True):
        n = len(asked)
        weights = {
            "linear": [p / n for p in range(1, n + 1)],
            "quadratic": [(p / n) ** 2 for p in range(1, n + 1)],
            "harmonic": [1 / (n - p + 1) for p in range(1, n + 1)],
            "log": [1 / math.log10(n - p + 1.7) for p in range(1, n + 1)],
            "same": [1.0] * n,
        }[config.decay]
        scores: dict[int, float] = defaultdict(float)
        out = int(out) if leave_out else NOBODY
        for session, similarity, step, _ in naive_near(asked, weights, config.neighbours, config.recent, out, False):
            for track in set(TRAINING[session]):
                if config.heard or track not in asked:
                    scores[track] += similarity / step
        wanted.append(scores)
    found = vsknn_scores(index, flat(ASKED), config, LEAVE_OUT if leave_out else None)
    equal(by_session(found, len(ASKED)), wanted)
    assert sum(map(len, wanted)) > 300


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        OrderedConfig(),
        OrderedConfig(neighbours=4, recent=6, fade=1.0, reach=0.5, by_size=False),
        OrderedConfig(neighbours=20, recent=30, fade=5.0, reach=7.0),
    ],
)
def test_ordered_neighbours(config: OrderedConfig, leave_out: bool) -> None:
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN, config.recent)
    wanted = []
    for asked, out in zip(ASKED, LEAVE_OUT, strict=True):
        weights = [math.exp(-(len(asked) - 1 - i) / config.fade) for i in range(len(asked))]
        scores: dict[int, float] = defaultdict(float)
        near = naive_near(
            asked, weights, config.neighbours, config.recent, int(out) if leave_out else NOBODY, config.by_size
        )
        for session, similarity, _, position in near:
            for distance, track in enumerate(TRAINING[session][position + 1 :]):
                scores[track] += similarity * math.exp(-distance / config.reach)
        wanted.append(scores)
    found = ordered_scores(index, flat(ASKED), config, LEAVE_OUT if leave_out else None)
    equal(by_session(found, len(ASKED)), wanted)
    assert sum(map(len, wanted)) > 200


@pytest.mark.parametrize("scores", ["ordered", "sets"])
def test_a_session_has_the_same_scores_alone_and_among_others(monkeypatch: pytest.MonkeyPatch, scores: str) -> None:
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN, 30)
    ask = (
        (lambda asked: ordered_scores(index, asked, OrderedConfig(neighbours=7)))
        if scores == "ordered"
        else (lambda asked: vsknn_scores(index, asked, VsknnConfig(neighbours=7)))
    )
    together = by_session(ask(flat(ASKED)), len(ASKED))
    assert [by_session(ask(flat([one])), 1)[0] for one in ASKED] == together
    monkeypatch.setattr(session_index, "POSTINGS_AT_ONCE", 50)
    monkeypatch.setattr(session_neighbours, "ROWS_AT_ONCE", 30)
    assert by_session(ask(flat(ASKED)), len(ASKED)) == together


def test_its_own_training_part_adds_nothing_to_ordered_neighbours() -> None:
    """A context that begins with its own training part: nothing follows there the most recent common track."""
    contexts = [[*one, 38] for one in TRAINING]  # 38 is in no training session
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN)
    config = OrderedConfig(neighbours=1000)
    own = np.arange(len(TRAINING))
    everything = ordered_scores(index, flat(contexts), config)
    others = ordered_scores(index, flat(contexts), config, own)
    assert by_session(everything, len(own)) == by_session(others, len(own))


def test_its_own_training_part_adds_only_heard_tracks_to_v_sknn() -> None:
    contexts = [[*one, 38] for one in TRAINING]
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN)
    config = VsknnConfig(neighbours=1000, heard=False)
    own = np.arange(len(TRAINING))
    everything = vsknn_scores(index, flat(contexts), config)
    others = vsknn_scores(index, flat(contexts), config, own)
    assert by_session(everything, len(own)) == by_session(others, len(own))
    kept = vsknn_scores(index, flat(contexts), replace(config, heard=True))
    assert len(kept.track) > len(others.track)


def test_shares_are_parts_of_all_scores_of_the_best_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_neighbours, "MOST", 6)
    index, cut = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN), 0
    every = by_session(vsknn_scores(index, flat(ASKED), MIXED), len(ASKED))
    shares = neighbour_shares(index, flat(ASKED))
    assert (np.diff(shares.session) >= 0).all()
    for session, (scores, asked) in enumerate(zip(every, ASKED, strict=True)):
        mine = shares.session == session
        found = dict(zip(shares.track[mine].tolist(), np.exp(shares.log_share[mine]).tolist(), strict=True))
        total = sum(scores.values())
        assert len(found) == min(6, len(scores))
        assert not set(found) & set(asked)
        assert found == pytest.approx({track: scores[track] / total for track in found})
        left = [value for track, value in scores.items() if track not in found]
        assert min([scores[track] for track in found], default=0.0) >= max(left, default=0.0)
        cut += len(left) > 0
    assert cut > 20


def test_a_stored_index_is_the_same_index() -> None:
    index = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN, recent=7)
    again = SessionIndex.of_arrays({name: array.copy() for name, array in index.arrays().items()})
    assert again.is_sound(3, NUM_ROWS)
    one, other = neighbour_shares(index, flat(ASKED)), neighbour_shares(again, flat(ASKED))
    for name in ("session", "track", "log_share"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    nothing = SessionIndex.of(FlatSessions(np.zeros(0, np.int64), np.zeros(1, np.int64)), NUM_ROWS)
    again = SessionIndex.of_arrays(nothing.arrays())
    assert again.is_sound(3, NUM_ROWS)
    assert len(neighbour_shares(again, flat(ASKED)).track) == 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tracks", lambda tracks: tracks - 1),
        ("tracks", lambda tracks: tracks + NUM_ROWS),
        ("tracks", lambda tracks: tracks[1:]),
        ("offsets", lambda offsets: offsets[::-1]),
        ("offsets", lambda offsets: offsets[:0]),
        ("offsets", lambda offsets: offsets + 1),
        ("distinct", lambda distinct: distinct[1:]),
        ("postings", lambda postings: postings[::-1]),
        ("postings", lambda postings: np.repeat(postings[:1], len(postings))),
        ("postings", lambda postings: postings | (1 << 40)),
        ("postings", lambda postings: -postings),
        ("postings", lambda postings: postings | 15),
        ("postings", lambda postings: postings | (1 << 6)),
        ("posting_offsets", lambda offsets: offsets[1:]),
        ("posting_offsets", lambda offsets: np.concatenate([offsets, offsets[-1:]])),
        ("posting_offsets", lambda offsets: offsets * 0),
    ],
)
def test_a_stored_index_that_cannot_be_one_is_not_sound(name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    arrays = SessionIndex.of(flat(TRAINING), NUM_ROWS, BEGAN).arrays()
    assert not SessionIndex.of_arrays(arrays | {name: change(arrays[name])}).is_sound(3, NUM_ROWS)


def test_an_index_without_sessions_knows_nothing() -> None:
    index = SessionIndex.of(flat([]), NUM_ROWS)
    assert len(ordered_scores(index, flat(ASKED), OrderedConfig()).track) == 0
    assert len(vsknn_scores(index, flat([]), VsknnConfig()).track) == 0


def test_the_indexes_need_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, segue.neighbours.session_neighbours, segue.ranking.rules_index, segue.ranking.context_index\n"
        "sys.exit(bool({'torch', 'scipy', 'polars'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
