"""The form of the skip prediction challenge equals plain loops, unknown feedback and odd lengths included."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.split import split_store
from segue.evaluation import skip_prediction
from segue.evaluation.bootstrap import Bootstrap
from segue.evaluation.evaluation_scene import EvaluationScene, make_scene
from segue.evaluation.skip_prediction import (
    PUBLISHED,
    average_accuracy,
    first_right,
    last_action,
    predicted_skips,
    second_halves,
    skip_prediction_row,
    skip_prediction_rows,
)
from segue.ranking import ModelScorer
from segue.recipes import Recipe
from segue.runs import load_run
from segue.runs.loaded_run import LoadedRun
from segue.store import Store
from segue.training import fit
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of


@pytest.fixture(scope="module")
def log() -> tuple[np.ndarray, np.ndarray]:
    """Sessions of 1 to 20 tracks: one without skips, one all skips, one whose second half is unknown throughout."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 21, 80)
    lengths[:6] = 1, 2, 3, 19, 20, 8
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    strength = generator.choice(np.array([0, 1, 2, 3, 255], np.uint8), offsets[-1], p=[0.3, 0.1, 0.1, 0.3, 0.2])
    strength[offsets[3] : offsets[4]], strength[offsets[4] : offsets[5]] = 0, 3
    strength[offsets[5] + 4 : offsets[6]] = 255
    return offsets, strength


CHOSEN = np.concatenate([np.arange(6), np.arange(10, 80, 3)])


def naive_targets(offsets, strength, session, skip_at_least) -> list[tuple[int, bool]]:
    begin, end = int(offsets[session]), int(offsets[session + 1])
    half = [begin + i for i in range(end - begin) if 2 * (i + 1) > end - begin]  # the challenge's rule
    return [(row, bool(strength[row] >= skip_at_least)) for row in half if strength[row] <= 3]


@pytest.mark.parametrize("skip_at_least", [1, 2, 3])
def test_targets_and_last_action_equal_the_loop(log, skip_at_least) -> None:
    offsets, strength = log
    halves = second_halves(offsets, strength, CHOSEN, skip_at_least)
    found = last_action(halves, offsets, strength, skip_at_least)
    wanted = {int(s): naive_targets(offsets, strength, s, skip_at_least) for s in CHOSEN}
    assert halves.session.tolist() == [s for s, targets in wanted.items() if targets]
    assert 5 not in halves.session, "its second half is unknown"
    for i, session in enumerate(halves.session.tolist()):
        some = slice(*halves.offsets[i : i + 2])
        targets = wanted[session]
        assert halves.rows[some].tolist() == [row for row, _ in targets]
        assert halves.skipped[some].tolist() == [skipped for _, skipped in targets]
        begin = int(offsets[session])
        middle = begin + (int(offsets[session + 1]) - begin) // 2
        assert halves.middle[i] == middle
        given = [strength[row] >= skip_at_least for row in range(begin, middle) if strength[row] <= 3]
        assert found[some].tolist() == [bool(given[-1]) if given else False] * len(targets)


def test_no_feedback_of_a_second_half_reaches_the_last_action(log) -> None:
    offsets, strength = log
    halves = second_halves(offsets, strength, CHOSEN)
    changed = strength.copy()
    changed[halves.rows] = np.where(halves.skipped, 0, 3)
    assert np.array_equal(last_action(halves, offsets, changed), last_action(halves, offsets, strength))


def naive_average_accuracy(right: list[bool]) -> float:
    accuracies = [sum(right[: i + 1]) / (i + 1) for i in range(len(right))]
    return sum(accuracy for accuracy, good in zip(accuracies, right, strict=True) if good) / len(right)


def test_accuracies_equal_the_loop() -> None:
    generator = np.random.default_rng(1)
    counts = np.concatenate([[1, 1, 10, 10, 2], generator.integers(1, 11, 50)])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    right = generator.random(offsets[-1]) < 0.6
    right[offsets[2] : offsets[3]], right[offsets[3] : offsets[4]] = True, False
    parts = [right[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert average_accuracy(right, offsets) == pytest.approx([naive_average_accuracy(part) for part in parts])
    assert average_accuracy(right, offsets)[2:4].tolist() == [1.0, 0.0]
    assert first_right(right, offsets).tolist() == [float(part[0]) for part in parts]


def test_an_early_mistake_costs_more_than_a_late_one() -> None:
    right = np.ones(12, np.bool_)
    right[[0, 11]] = False
    early, late = average_accuracy(right, np.array([0, 6, 12]))
    assert early < late < 1


def test_a_row_is_the_mean_over_sessions_with_its_interval(log) -> None:
    offsets, strength = log
    halves = second_halves(offsets, strength, CHOSEN)
    row = skip_prediction_row(halves, halves.skipped, Bootstrap(halves.session, 20, 0))
    assert {(one.value, one.low, one.high) for one in row.values()} == {(1.0, 1.0, 1.0)}
    predicted = last_action(halves, offsets, strength)
    found = skip_prediction_row(halves, predicted, Bootstrap(halves.session, 200, 0))
    right = predicted == halves.skipped
    parts = [right[a:b].tolist() for a, b in itertools.pairwise(halves.offsets)]
    mean = found["mean-average-accuracy"]
    assert mean.value == pytest.approx(np.mean([naive_average_accuracy(part) for part in parts]))
    assert mean.low < mean.value < mean.high
    assert found["first-prediction-accuracy"].value == pytest.approx(np.mean([part[0] for part in parts]))


def test_no_sessions_have_no_accuracy() -> None:
    halves = second_halves(np.array([0, 3]), np.full(3, 255, np.uint8), np.array([0]))
    assert len(halves.session) == 0
    assert average_accuracy(np.zeros(0, np.bool_), halves.offsets).shape == (0,)
    assert last_action(halves, np.array([0, 3]), np.full(3, 255, np.uint8)).shape == (0,)


def test_the_published_numbers_stand_in_the_order_of_the_metrics() -> None:
    assert PUBLISHED == {"winners": (0.651, 0.812), "last action": (0.537, 0.742)}


def trained(path: Path) -> tuple[Store, LoadedRun, EvaluationScene]:
    store = tiny_store(path / "store", sessions=300, tracks=20)
    recipe = small_recipe("segue", data__split="sessions", training__epochs=1, heads__listen=True)
    fit(store, path / "run", recipe)
    return store, load_run(path / "run"), scene_of(store, recipe)


def scene_of(store: Store, recipe: Recipe) -> EvaluationScene:
    split = split_store(store, recipe.data)
    return make_scene(store, split, recipe.data, recipe.evaluation, "test", torch.device("cpu")).reading(recipe)


def test_the_model_predicts_from_the_feedback_of_the_first_half_alone(tmp_path: Path) -> None:
    """One track at a time, session by session; whatever the feedback of second halves, predictions stay."""
    store, run, scene = trained(tmp_path)
    scorer, strength = ModelScorer(run.encoder, run.candidates), np.array(store.strength)
    halves = second_halves(store.offsets, strength, np.unique(scene.contexts.cases.session))
    expected, first_one = list[bool](), 0.0
    for session, middle, (first, end) in zip(
        halves.session, halves.middle, itertools.pairwise(halves.offsets), strict=True
    ):
        begin = int(store.offsets[session])
        for row in halves.rows[first:end]:
            tracks = torch.from_numpy(scene.split.input_row[store.tracks[begin:row]].astype(np.int64))
            feedback = torch.tensor([min(int(strength[i]), 4) if i < middle else 5 for i in range(begin, row)])
            batch = Batch(tracks, feedback, torch.arange(len(tracks)), torch.tensor([0, len(tracks)]), len(tracks))
            target = torch.tensor([[int(scene.split.input_row[store.tracks[row]])]])
            log_odds = float(scorer.listen_logits(batch, target))
            first_one = log_odds if row == halves.rows[first] else first_one
            expected.append(log_odds + first_one < 0)
    found = predicted_skips(scene, halves, scorer)
    assert found.tolist() == expected
    assert len(set(expected)) == 2
    values = values_of(store)
    values["strength"][halves.rows] = 3 - values["strength"][halves.rows]
    other = scene_of(rewritten(tmp_path / "other", store, values), run.recipe)
    assert np.array_equal(predicted_skips(other, halves, scorer), found)


def test_it_is_asked_where_whole_sessions_are_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run, scene = trained(tmp_path)
    scorers = [ModelScorer(run.encoder, run.candidates)]
    rows = skip_prediction_rows(scene, scorers)
    assert [row["name"] for row in rows] == ["model", "last action", *(f"WSDM Cup 2019, {name}" for name in PUBLISHED)]
    assert rows[0]["sessions"] == len(scene.contexts.cases) > 10
    assert [row["mean-average-accuracy"] for row in rows[2:]] == [[0.651, None, None], [0.537, None, None]]
    assert skip_prediction_rows(scene, []) == []
    monkeypatch.setattr(skip_prediction, "MOST_SESSIONS", 7)
    assert skip_prediction_rows(scene, scorers)[0]["sessions"] == 7
    assert skip_prediction_rows(scene_of(store, small_recipe("segue")), scorers) == [], (
        "their second halves were trained on"
    )
