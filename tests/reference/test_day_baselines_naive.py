"""The baselines of a split by days equal loops, and rank as every scorer does."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.batches.next_day import NextDay
from segue.batches.session_numbers import SESSION_NUMBER, SessionNumbers
from segue.batches.split import DataConfig, Split, split_store
from segue.ranking.baselines import DAY_BASELINES, Baseline, TrainingRows
from segue.ranking.baselines.decayed_popularity import DecayedPopularity, DecayedPopularityConfig
from segue.ranking.baselines.factors import Als, AlsConfig, Bpr, BprConfig, FactorModel
from segue.ranking.baselines.listener_neighbours import ListenerNeighbours, ListenerNeighboursConfig
from segue.ranking.baselines.tuning import CUT, ValidationTargets
from segue.store import Store
from support.day_stores import day_store
from support.dense_scores import all_scores, dense_standing
from support.stores import tiny_store

DATA = DataConfig(split="next-day", next_day=NextDay(train_days=0), max_len=8)
FACTORS: dict[type[FactorModel], AlsConfig | BprConfig] = {
    Als: AlsConfig(factors=8, iterations=5),
    Bpr: BprConfig(factors=8, iterations=20, learning_rate=0.1),
}
needs_implicit = pytest.mark.skipif(find_spec("implicit") is None, reason="the extra 'factors' (implicit) is missing")
Scene = tuple[Store, Split, TrainingRows, Batch]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Eight listeners of ten sessions over six days, and the contexts of their last day."""
    store = day_store(tmp_path_factory.mktemp("days"))
    split = split_store(store, DATA)
    data = SessionData.load(store, split, "cpu", {SESSION_NUMBER: SessionNumbers()})
    cases = split.cases["test"]
    return store, split, TrainingRows.of(store, split), data.context_batch(cases, np.arange(len(cases)), 8)


def test_decayed_popularity_is_that_of_a_loop(scene: Scene) -> None:
    store, split, data, batch = scene
    scorer = DecayedPopularity(data, DecayedPopularityConfig(half_life=3.0))
    began = [int(store.side(columns.AT)[row]) for row in split.train_begin]
    plays = np.zeros(store.num_tracks + 3)
    for begin, end, when in zip(split.train_begin, split.train_end, began, strict=True):
        for row in range(begin, end):
            plays[store.tracks[row]] += 2.0 ** -((max(began) - when) / SECONDS_OF_A_DAY / 3.0)
    ranked = scorer.stand(batch, torch.zeros(batch.num_sessions, 0, dtype=torch.int64), 5).best.tracks
    key = np.round(plays * 2**20) + data.counts / (data.counts.max() + 1)
    order = sorted(split.candidates.tolist(), key=lambda row: (-key[row], row))
    assert ranked.tolist() == [order[:5]] * batch.num_sessions


def test_item_knn_over_listeners_is_that_of_a_loop(scene: Scene) -> None:
    store, split, data, batch = scene
    scorer = ListenerNeighbours(data, ListenerNeighboursConfig(half_life=4.0))
    user, at, strength = store.side(columns.USER), store.side(columns.AT), np.asarray(store.strength)
    listens = np.zeros((8, store.num_tracks + 3))
    for row in split.training_rows:
        listens[user[np.searchsorted(store.offsets, row, "right") - 1], store.tracks[row]] += strength[row] < 2
    norm = np.sqrt((listens**2).sum(0))
    cases, expected = split.cases["test"], []
    for session, begin, end in zip(cases.session, cases.begin, cases.target, strict=True):
        own = np.zeros(store.num_tracks + 3)
        for row in range(store.num_rows):
            other = np.searchsorted(store.offsets, row, "right") - 1
            is_past = user[other] == user[session] and at[store.offsets[other]] < at[begin]
            age = (at[begin] - at[row]) / SECONDS_OF_A_DAY
            if is_past and strength[row] < 2:
                own[store.tracks[row]] += 2.0 ** -(age / 4.0)
        for row in range(max(begin, end - 8), end):
            own[store.tracks[row]] += strength[row] < 2
        scores = [own @ (listens.T @ listens[:, t]) / norm[t] if norm[t] else 0.0 for t in range(len(norm))]
        expected.append(scores)
    wanted = np.array(expected)[:, split.candidates]
    found = all_scores(scorer, batch, split.candidates).numpy()[:, split.candidates]
    np.testing.assert_allclose(found / found.max(1, keepdims=True), wanted / wanted.max(1, keepdims=True), atol=1e-9)


@needs_implicit
@pytest.mark.parametrize("kind", FACTORS)
def test_factors_rank_by_their_products_and_a_stranger_sees_popularity(scene: Scene, kind: type[FactorModel]) -> None:
    store, split, data, batch = scene
    scorer = kind(data, FACTORS[kind])
    twice = kind(data, FACTORS[kind])
    found, again = (all_scores(each, batch, split.candidates)[:, split.candidates] for each in (scorer, twice))
    assert torch.equal(found, again)
    assert (found[0] != found[1]).any()
    heard = data.listens_by_listener()
    listener = store.side(columns.USER)[split.cases["test"].session]
    own = heard[listener].toarray()[:, split.candidates] > 0
    assert found.numpy()[own].mean() > found.numpy()[~own].mean() + 0.1
    nobody = Batch(batch.tracks, batch.feedback, batch.position, batch.offsets, batch.longest)
    popular = all_scores(scorer, nobody, split.candidates)[0, split.candidates]
    counts = torch.from_numpy(data.counts[split.candidates].astype(np.float32))
    torch.testing.assert_close(popular, counts / (counts.max() + 1))


@pytest.mark.parametrize(
    "kind", [*DAY_BASELINES[-4:-2], *(pytest.param(kind, marks=needs_implicit) for kind in FACTORS)]
)
def test_where_tracks_stand_follows_from_all_scores(scene: Scene, kind: type[Baseline]) -> None:
    _, split, data, batch = scene
    scorer = kind(data, FACTORS.get(kind))  # type: ignore[call-overload]
    candidates = torch.from_numpy(split.candidates.astype(np.int64))
    tracks = candidates[torch.arange(3).expand(batch.num_sessions, 3)]
    expected = dense_standing(all_scores(scorer, batch, split.candidates), candidates, tracks, 7)
    standing = scorer.stand(batch, tracks, 7)
    assert torch.equal(standing.above, expected.above)
    assert torch.equal(standing.equal, expected.equal)
    assert torch.equal(standing.best.tracks, expected.best.tracks)


def test_options_are_chosen_by_the_ndcg_of_sets(scene: Scene) -> None:
    store, split, data, _ = scene
    scorer, cases = DecayedPopularity(data), split.cases["validation"]
    assert cases.positives is not None
    contexts = SessionData.load(store, split, "cpu").context_batch(cases, np.arange(len(cases)), 8)
    best = scorer.stand(contexts, torch.zeros(len(cases), 0, dtype=torch.int64), CUT).best.tracks.numpy()
    values = []
    for i, (low, high) in enumerate(zip(cases.positives.offsets, cases.positives.offsets[1:], strict=False)):
        targets = set(cases.positives.tracks[low:high].tolist())
        gains = [1 / math.log2(2 + rank) for rank, track in enumerate(best[i]) if track in targets]
        values.append(sum(gains) / sum(1 / math.log2(2 + rank) for rank in range(min(len(targets), CUT))))
    assert len(values) >= 3
    assert ValidationTargets(store, split, 8).criterion(scorer) == pytest.approx(float(np.mean(values)))


def test_a_baseline_that_lacks_what_it_needs_is_left_out(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    data = TrainingRows.of(store, split_store(store, DataConfig(split="leave-last-two-out")))
    assert not ListenerNeighbours.fits(data)  # no times
    assert DecayedPopularity.fits(data)
    assert Als.fits(data) == (find_spec("implicit") is not None)
