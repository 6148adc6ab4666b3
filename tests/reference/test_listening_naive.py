"""P(listen) without a model, and the order by listen rate, equal plain loops; what is held out is in none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.batches.held_out import SplitName
from segue.batches.split import DataConfig, Split, split_store
from segue.evaluation import Table, make_scene
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.listen_predictions import baseline_predictions
from segue.ranking import fit_baselines
from segue.recipes import EvaluationConfig
from segue.store import NUM_SPECIALS, Store
from support.dense_scores import all_scores
from support.stores import rewritten, tiny_store, values_of

CONFIG = EvaluationConfig(candidates=5, resamples=10)
ALWAYS, NEVER, UNKNOWN = 3, 4, 5
"""Table rows of tracks that are always listened to, never, and of which nothing is known."""
HELD_OUT: list[tuple[SplitName, str]] = [
    ("validation", "leave-last-two-out"),
    ("test", "leave-last-two-out"),
    ("test", "temporal"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The tiny store, with three tracks of one feedback each; the first session has no skips, the second all."""
    folder = tmp_path_factory.mktemp("listening")
    tiny = tiny_store(folder / "tiny", sessions=60)
    values = values_of(tiny)
    for row, strength in ((ALWAYS, 1), (NEVER, 2), (UNKNOWN, 255)):
        places = np.flatnonzero(values["tracks"] == row)
        values["strength"][places[places >= tiny.offsets[2]]] = strength
    values["tracks"][: tiny.offsets[1]] = 20
    values["tracks"][tiny.offsets[1] : tiny.offsets[2]] = 21
    return rewritten(folder / "store", tiny, values)


def scene_of(store: Store, which: SplitName, kind: str) -> EvaluationScene:
    data = DataConfig(split=kind, max_len=4)  # type: ignore[arg-type]  # shorter than most contexts
    return make_scene(store, split_store(store, data), data, CONFIG, which, "cpu")


def heard(strengths: list[int]) -> tuple[int, int]:
    """Return how many of the plays of known feedback were listened to, and how many there are."""
    return sum(s in (0, 1) for s in strengths), sum(s in (0, 1, 2, 3) for s in strengths)


def training_plays(store: Store, split: Split) -> dict[int, list[int]]:
    """Return the strengths of the training plays of each track."""
    plays: dict[int, list[int]] = {row: [] for row in range(store.num_tracks + NUM_SPECIALS)}
    for begin, end in zip(split.train_begin.tolist(), split.train_end.tolist(), strict=True):
        for row in range(begin, end):
            plays[int(store.tracks[row])].append(int(store.strength[row]))
    return plays


@pytest.mark.parametrize(("which", "kind"), HELD_OUT)
def test_what_needs_no_model_foretells_as_the_loops_do(store: Store, which: SplitName, kind: str) -> None:
    scene = scene_of(store, which, kind)
    found, plays = baseline_predictions(scene), training_plays(store, scene.split)
    listens, known = heard([strength for strengths in plays.values() for strength in strengths])
    share, contexts = listens / known, []
    cases = scene.contexts.cases
    for i, (session, target) in enumerate(zip(cases.session.tolist(), cases.target.tolist(), strict=True)):
        contexts.append([int(s) for s in store.strength[store.offsets[session] : target]])
        own, of_known = heard(contexts[i])
        listens, known = heard(plays[int(store.tracks[target])])
        assert found["share"][i] == pytest.approx(share)
        assert found["track-rate"][i] == pytest.approx((listens + 2.5) / (known + 5))
        assert found["session-rate"][i] == pytest.approx((own + 5 * share) / (of_known + 5))
    assert any(255 in context for context in contexts)
    assert kind == "temporal" or (set(contexts[0]), set(contexts[1])) == ({0}, {3})
    rows = Table(scene).listening({})
    known_target = np.asarray(store.strength)[cases.target] < 4
    assert {row["name"]: row["targets"] for row in rows} == dict.fromkeys(found, known_target.sum())
    truth = np.asarray(store.strength)[cases.target] < 2
    for row in rows:
        p = found[row["name"]]
        losses = -np.log(np.where(truth, p, 1 - p))
        assert row["log-loss"][0] == pytest.approx(losses[known_target].mean())


@pytest.mark.parametrize(("which", "kind"), HELD_OUT)
@pytest.mark.parametrize("later", [False, True])
def test_no_prediction_hangs_on_the_feedback_that_it_foretells(
    store: Store, tmp_path: Path, which: SplitName, kind: str, later: bool
) -> None:
    """Nor on what came later in the session."""
    before = scene_of(store, which, kind)
    values, cases = values_of(store), before.contexts.cases
    for session, target in zip(cases.session.tolist(), cases.target.tolist(), strict=True):
        rows = slice(target, store.offsets[session + 1] if later else target + 1)
        values["strength"][rows] = np.where(values["strength"][rows] < 2, 3, 0)  # unknown: listened
    after = scene_of(rewritten(tmp_path / "store", store, values), which, kind)
    assert (before.listened(cases.target) != after.listened(cases.target)).all()
    other = baseline_predictions(after)
    for name, p in baseline_predictions(before).items():
        assert p.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kind", ["leave-last-two-out", "temporal"])
def test_the_order_by_listen_rate_is_that_of_the_loop(store: Store, kind: str) -> None:
    scene = scene_of(store, "test", kind)
    split, plays = scene.split, training_plays(store, scene.split)
    scorer = next(one for one in fit_baselines(store, split) if one.name == "listen-rate")
    rates, wanted = dict[int, float](), np.full(len(plays), -np.inf)
    popular = split.training_counts / (split.training_counts.max() + 1)  # below 1: it parts equal rates alone
    for row in split.candidates.tolist():
        listens, known = heard(plays[row])
        rates[row] = (listens + 2.5) / (known + 5)
        wanted[row] = round(rates[row] * 2**20) + popular[row]
    for _, batch in scene.contexts.blocks(20):
        scores = all_scores(scorer, batch, split.candidates, len(plays)).numpy()
        assert scores == pytest.approx(np.tile(wanted, (batch.num_sessions, 1)), rel=1e-12)
    assert rates[UNKNOWN] == 0.5, "what is unknown is neither"
    assert len(plays[UNKNOWN]) > 0
    assert rates[ALWAYS] == max(rates.values()) > rates[UNKNOWN] > rates[NEVER] == min(rates.values())
