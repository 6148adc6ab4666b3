"""A run of a split by days is measured against all that each listener listened to on the day."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segue import columns
from segue.batches.data import SessionData
from segue.batches.session_numbers import SESSION_NUMBER, SessionNumbers
from segue.batches.split import split_store
from segue.cli.main import main
from segue.cli.tables import evaluation_text
from segue.errors import InputError
from segue.evaluation import make_scene
from segue.evaluation.next_day import LIST, PUBLISHED, DayEvaluation, DayLists, DayTable, day_evaluation, played_before
from segue.evaluation.ranking_pass import best_lists, lists_without
from segue.evaluation.settling_ranks import SettlingRanks
from segue.evaluation.validation import Validation
from segue.model.heads import load_heads
from segue.ranking import ModelScorer, model_scorers
from segue.recipes import EvaluationConfig
from segue.runs import RunFolder, load_run
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.evaluator import Evaluator
from segue.verbs.train import TrainOptions, train
from support.day_stores import day_store
from support.small_recipes import small_recipe

CHANGES = {
    "data__split": "next-day",
    "data__vocabulary": "training",
    "data__next_day": {"train_days": 0},
    "next_track__kind": "mixed",
    "heads__listen": True,
    "heads__copy": True,
    "heads__repeats": True,
    "training__epochs": 2,
}
Trained = tuple[Store, Path, DayEvaluation]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("measured")
    store, run = day_store(folder, sessions=400, listeners=40, tracks=900), folder / "run"
    train(store, run, TrainOptions(recipe=small_recipe(**CHANGES), device="cpu"))
    found = evaluate(run, store, EvaluateOptions(device="cpu"))
    assert isinstance(found, DayEvaluation)
    return store, run, found


def test_the_metrics_of_the_model_are_those_of_a_loop(trained: Trained) -> None:
    store, run, found = trained
    loaded = load_run(run)
    split = split_store(store, loaded.recipe.data)
    cases = split.cases["test"]
    assert cases.positives is not None
    scene = SessionData.load(store, split, "cpu", {SESSION_NUMBER: SessionNumbers()})
    side = dict(scene.side) | load_heads(loaded.recipe.heads, store, split, "cpu")
    data = SessionData.load(store, split, "cpu", side)
    batch = data.context_batch(cases, np.arange(len(cases)), loaded.recipe.data.max_len)
    scorer = model_scorers(loaded.encoder, split.candidates, loaded.listen_weight)[0]
    best = scorer.stand(batch, torch.zeros(len(cases), 0, dtype=torch.int64), LIST).best.tracks.tolist()
    offsets = cases.positives.offsets
    sets = [
        dict(zip(cases.positives.tracks[low:high].tolist(), cases.positives.repeated[low:high].tolist(), strict=True))
        for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    assert len(sets) == 40
    for group in ("", ".repeat", ".discovery"):
        chosen = [{t for t, again in one.items() if not group or again == (group == ".repeat")} for one in sets]
        for cutoff in (10, 100):
            shares, capped, gains = [], [], []
            for targets, tracks in zip(chosen, best, strict=True):
                if targets:
                    ranks = [rank for rank, track in enumerate(tracks[:cutoff], 1) if track in targets]
                    shares.append(len(ranks) / len(targets))
                    capped.append(len(ranks) / min(len(targets), cutoff))
                    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(targets), cutoff) + 1))
                    gains.append((sum(1 / math.log2(1 + rank) for rank in ranks), ideal))
            metrics = found.rows[0].metrics
            assert metrics[f"recall@{cutoff}{group}"].value == pytest.approx(np.mean(shares))
            assert metrics[f"recall-capped@{cutoff}{group}"].value == pytest.approx(np.mean(capped))
            assert metrics[f"ndcg@{cutoff}{group}"].value == pytest.approx(np.mean([g / i for g, i in gains]))
            sums = np.sum(gains, axis=0)
            assert metrics[f"ndcg-of-sums@{cutoff}{group}"].value == pytest.approx(sums[0] / sums[1])
    shown = {track for tracks in best for track in tracks[:10]}
    assert found.rows[0].metrics["coverage@10"].value == pytest.approx(len(shown) / len(split.candidates))


def test_discoveries_are_also_measured_in_lists_of_new_tracks(trained: Trained) -> None:
    """What the listener played before is left out of the order of all candidates."""
    store, run, found = trained
    loaded = load_run(run)
    split = split_store(store, loaded.recipe.data)
    scene = make_scene(store, split, loaded.recipe.data, loaded.recipe.evaluation, "test", "cpu")
    contexts, cases = scene.reading(loaded.recipe).contexts, scene.contexts.cases
    assert cases.positives is not None
    played = played_before(scene)
    user, at = np.repeat(store.side(columns.USER), np.diff(store.offsets)), np.asarray(store.side(columns.AT))
    gap = int(at.max()) + 1 - 86_400 - 1800
    for i, session in enumerate(cases.session.tolist()):
        rows = (user == store.side(columns.USER)[session]) & (at < gap)
        wanted = sorted(set(np.asarray(store.tracks)[rows].tolist()))
        assert played.tracks[played.offsets[i] : played.offsets[i + 1]].tolist() == wanted
    scorer = model_scorers(loaded.encoder, split.candidates, loaded.listen_weight)[0]
    everything = best_lists(scorer, contexts, len(split.candidates)).tolist()
    known = [set(played.of(np.array([i])).tracks.tolist()) for i in range(len(cases))]
    new = [[t for t in order if t and t not in known[i]] for i, order in enumerate(everything)]
    for k in (3, 100):  # lists of 12 tracks are too short for most of these
        lists = lists_without(scorer, contexts, played, k)
        np.testing.assert_array_equal(lists, [(order + [0] * k)[:k] for order in new])
    sets = [cases.positives.of(np.array([i])).tracks.tolist() for i in range(len(cases))]
    hits = [
        sum(t in targets for t in order[:100]) / len(set(targets) - seen)
        for targets, order, seen in zip(sets, new, known, strict=True)
        if set(targets) - seen
    ]
    assert found.rows[0].metrics["recall@100.new"].value == pytest.approx(np.mean(hits))
    assert found.rows[0].metrics["recall@100.new"].value > found.rows[0].metrics["recall@100.discovery"].value


def test_each_row_has_intervals_and_the_lead_of_the_model(trained: Trained) -> None:
    _, _, found = trained
    model, *others = found.rows
    assert [row.kind for row in found.rows[:2]] == ["model", "model"]
    assert {"own-plays", "decayed-popularity", "item-knn-listeners"} <= {row.name for row in others}
    assert not model.model_minus
    for row in others:
        for name, lead in row.model_minus.items():
            assert lead.value == pytest.approx(model.metrics[name].value - row.metrics[name].value, abs=1e-12)
            assert lead.low <= lead.value <= lead.high
    assert found.counts["cases"] == found.counts["listeners"] == 40
    assert found.counts["repeat"] + found.counts["discovery"] == found.counts["targets"]
    assert set(found.tuning) >= {"own-plays", "item-knn-listeners"}


def test_validation_and_settled_weights_count_whole_sets(trained: Trained) -> None:
    """A case whose first target cannot be ranked counts as every other one does."""
    store, run, found = trained
    loaded = load_run(run)
    split = split_store(store, loaded.recipe.data)
    cases = split.cases["validation"]
    assert cases.positives is not None
    first = cases.positives.tracks[cases.positives.offsets[:-1]]
    assert 0 < np.isin(first, split.candidates).sum() < len(cases)
    scene = make_scene(store, split, loaded.recipe.data, loaded.recipe.evaluation, "validation", "cpu")
    contexts = scene.reading(loaded.recipe).contexts
    scorer = ModelScorer(loaded.encoder, split.candidates)
    best = best_lists(scorer, contexts, 20)
    expected, hits = [], []
    for (low, high), tracks in zip(itertools.pairwise(cases.positives.offsets), best.tolist(), strict=True):
        ranks = [rank for rank, track in enumerate(tracks, 1) if track in cases.positives.tracks[low:high]]
        ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(high - low, 20) + 1))
        expected.append(sum(1 / math.log2(1 + rank) for rank in ranks) / ideal)
        hits.append(bool(ranks) and ranks[0] <= 10)
    measured = Validation(store, split, loaded.recipe, "cpu").measure(loaded.encoder)
    assert measured["ndcg@20"] == pytest.approx(np.mean(expected))
    assert measured["hr@10"] == pytest.approx(np.mean(hits))
    assert np.isfinite(measured["loss"])
    np.testing.assert_allclose(SettlingRanks(loaded.encoder, contexts).gains(scorer, 20), expected)
    document = RunFolder.open(run).ranking()
    assert document is not None
    assert document["mixture"]["targets"] == len(cases)
    assert max(one["ndcg@20"] for one in document["mixture"]["tried"]) == pytest.approx(np.mean(expected))
    assert found.counts["unseen_share"] > 0


def test_the_command_prints_and_stores_it(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    store, run, _ = trained
    assert main(["evaluate", str(run), str(store.path), "--model-only", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "all targets of a day" in text
    assert "targets new to the listener" in text
    assert main(["evaluate", str(run), str(store.path), "--model-only", "--device", "cpu", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((run / "evaluation" / "test.json").read_text())
    assert document["next_day"]["gap_minutes"] == 30
    assert len(document["rows"][0]["ndcg-of-sums@100.discovery"]) == 3


def test_published_numbers_stand_beside_a_store_of_that_data_set_alone(trained: Trained, tmp_path: Path) -> None:
    store, run, found = trained
    assert found.published == {}  # these sessions are no data set's
    text = evaluation_text(found.to_json() | {"published": PUBLISHED["yambda"]})
    assert "published, on the whole of Yambda-50M" in text
    assert ".0781" in text
    data = load_run(run).recipe.data
    nothing = np.zeros((40, LIST), np.int32)
    for kind, simulated, shown in (("yambda", {}, True), ("yambda", {"world": "full"}, False), ("table", {}, False)):
        copy = tmp_path / f"{kind}-{len(simulated)}"
        shutil.copytree(store.path, copy)
        document = json.loads((copy / "manifest.json").read_text())
        document["source"] |= {"kind": kind, "simulated": simulated}
        (copy / "manifest.json").write_text(json.dumps(document))
        marked = Store(copy)
        table = DayTable(make_scene(marked, split_store(marked, data), data, EvaluationConfig(), "test", "cpu"))
        evaluation = day_evaluation(table, [[DayLists("model", nothing, nothing)]], [], found.next_day, {})
        assert bool(evaluation.published) == shown


def test_several_seeds_are_measured_as_their_mean(trained: Trained, tmp_path: Path) -> None:
    store, run, found = trained
    train(store, tmp_path / "run", TrainOptions(recipe=small_recipe(**CHANGES, training__seed=1), device="cpu"))
    evaluator = Evaluator(store, device="cpu")
    both, other = evaluator.evaluate_seeds([run, tmp_path / "run"]), evaluator.evaluate(tmp_path / "run")
    assert isinstance(other, DayEvaluation)
    assert both.counts["runs"] == 2
    own = [one.rows[0].metrics for one in (found, other)]
    assert own[0]["ndcg@10"].value != own[1]["ndcg@10"].value
    for name, estimate in both.rows[0].metrics.items():
        assert estimate.value == pytest.approx(np.mean([one[name].value for one in own])), name
    rival = next(row for row in both.rows if row.name == "own-plays")
    for name, estimate in rival.model_minus_by_run.items():
        leads = [one[name].value - rival.metrics[name].value for one in own]
        assert estimate.value == pytest.approx(np.mean(leads), abs=1e-12)
        half = 12.7062047 * np.std(leads, ddof=1) / np.sqrt(2)  # t of one degree of freedom
        assert estimate.high - estimate.value == pytest.approx(half, rel=1e-4, abs=1e-12)
        assert rival.model_minus[name].value == pytest.approx(np.mean(leads), abs=1e-12)
    with pytest.raises(InputError, match="name runs of one recipe"):
        evaluator.evaluate_seeds([])


def test_a_day_is_ranked_among_all_tracks_alone(trained: Trained) -> None:
    store, run, _ = trained
    with pytest.raises(InputError, match="measured by days"):
        evaluate(run, store, EvaluateOptions(protocol="sampled", device="cpu"))
