"""What an evaluation reports equals plain loops over a small store; a NaN score is never passed over in silence."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.split import DataConfig, split_store
from segue.cli.main import main
from segue.evaluation import make_scene
from segue.evaluation.ranking_pass import flipped
from segue.evaluation.strata import strata, target_groups
from segue.ranking import Standing, fit_baselines
from segue.recipes import EvaluationConfig
from segue.runs import RunFolder, load_run
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.train import TrainOptions, train
from support.dense_scores import dense_standing
from support.evaluated import evaluate_scorers
from support.small_models import padded_batch
from support.small_recipes import small_recipe
from support.stores import tiny_store

CONFIG = EvaluationConfig(candidates=15, resamples=10)


class FeedbackReader:
    """Scores the track one (after a listen) or seven (after a skip) rows above the last highest, others by row."""

    name = "model"
    reads_feedback = True

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows

    def score_all(self, batch: Batch) -> torch.Tensor:
        step = torch.where(batch.feedback[batch.last] >= 2, 7, 1)
        best = (batch.tracks[batch.last] + step)[:, None]
        rows = torch.arange(self.num_rows)
        scores = -(rows[None] - best).abs().float() - rows * 1e-4
        return scores.masked_fill(rows < 3, -torch.inf)

    def score(self, batch: Batch, candidates: torch.Tensor) -> torch.Tensor:
        return self.score_all(batch).gather(1, candidates)

    def stand(self, batch: Batch, tracks: torch.Tensor, k: int, scored: torch.Tensor | None = None) -> Standing:
        return dense_standing(self.score_all(batch), torch.arange(3, self.num_rows), tracks, k, scored)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    store = tiny_store(tmp_path_factory.mktemp("naive") / "store", sessions=60)
    data = DataConfig(vocabulary="transductive")
    return make_scene(store, split_store(store, data), data, CONFIG, "test", "cpu")


def context(scene, session, end):
    begin = int(scene.store.offsets[session])
    tracks = torch.from_numpy(np.array(scene.store.tracks[begin:end])).long()[None]
    feedback = torch.from_numpy(np.where(scene.store.strength[begin:end] > 3, 4, scene.store.strength[begin:end]))
    return padded_batch(tracks, feedback.long()[None], torch.ones_like(tracks, dtype=torch.bool))


def rank_of(scorer, batch, track):
    scores = scorer.score_all(batch)[0]
    rivals = [s for row, s in enumerate(scores.tolist()) if row >= 3 and row != track]
    own = float(scores[track])
    return 1 + sum(s > own for s in rivals) + sum(s == own for s in rivals) / 2


def naive_values(scene, scorer):
    """Every value of every metric of the full protocol, by name."""
    store, sums = scene.store, {}
    strength, tracks = np.asarray(store.strength), np.asarray(store.tracks)

    def note(name, value):
        sums.setdefault(name, []).append(float(value))

    for session in range(store.num_sessions):
        last = int(store.offsets[session + 1]) - 1
        rank = rank_of(scorer, context(scene, session, last), int(tracks[last]))
        note("hr@1", rank <= 1)
        note("mrr", 1 / rank)
        if rank <= 1 and strength[last] < 4:
            note("skipped@1", strength[last] >= 2)
        if strength[last] < 2:
            note("hr@10.listened", rank <= 10)
        if strength[last - 1] < 4:
            batch = context(scene, session, last)
            batch.feedback[-1] = 0 if strength[last - 1] >= 2 else 3
            note("feedback-utility", (rank <= 10) - float(rank_of(scorer, batch, int(tracks[last])) <= 10))
        before, pair = context(scene, session, last - 1), (last - 1, last)
        ranks = [rank_of(scorer, before, int(tracks[row])) for row in pair]
        heard = [strength[row] < 2 for row in pair]
        passed = [2 <= strength[row] <= 3 for row in pair]
        if any(heard):
            note("hr@5.next-listened", ranks[heard.index(True)] <= 5)
        for name, i in (("listened-first", 0), ("skipped-first", 1)):
            if heard[i] and passed[1 - i]:
                scores = scorer.score_all(before)[0]
                mine, other = float(scores[tracks[pair[i]]]), float(scores[tracks[pair[1 - i]]])
                note(name, (mine > other) + (mine == other) / 2)
                note("log-rank.listened", math.log(ranks[i]))
                note("log-rank.skipped", math.log(ranks[1 - i]))
    return sums


def test_every_metric_of_the_full_protocol_equals_the_loop(scene):
    scorer = FeedbackReader(43)
    found = evaluate_scorers(scene, [scorer], ["full"]).rows[0].metrics
    sums = naive_values(scene, scorer)
    for name, values in sums.items():
        assert found[name].value == pytest.approx(np.mean(values)), name
    auc = (np.mean(sums["listened-first"]) + np.mean(sums["skipped-first"])) / 2
    assert found["pair-auc"].value == pytest.approx(auc)
    assert found["feedback-utility"].value != 0


def test_responsiveness_equals_the_loop(scene):
    store, split, scorer = scene.store, scene.split, FeedbackReader(43)
    tracks, strength = np.asarray(store.tracks), np.asarray(store.strength)
    sessions = [set(tracks[b:e].tolist()) for b, e in zip(split.train_begin, split.train_end, strict=True)]
    changes = []
    for session in range(store.num_sessions):
        last = int(store.offsets[session + 1]) - 1
        if strength[last - 1] > 3:
            continue
        track = int(tracks[last - 1])
        near = {t for s in sessions if track in s for t in s} - {track}  # fewer than 100 tracks: all that meet it
        shares = []
        for feedback in (0, 3):
            batch = context(scene, session, last)
            batch.feedback[-1] = feedback
            shares.append(len(set(scorer.score_all(batch)[0].topk(20).indices.tolist()) & near) / 20)
        changes.append(shares[0] - shares[1])
    found = evaluate_scorers(scene, [scorer], ["full"]).rows[0].metrics["responsiveness"].value
    assert found == pytest.approx(np.mean(changes), abs=1e-9)
    assert found != 0


def test_a_scorer_blind_to_feedback_has_no_utility_and_no_responsiveness(scene):
    rows = evaluate_scorers(scene, fit_baselines(scene.store, scene.split)).rows
    assert {row.metrics["feedback-utility"].value for row in rows} == {0.0}
    assert {row.metrics["responsiveness"].value for row in rows if row.protocol == "full"} == {0.0}


def test_the_strata_of_sessions_equal_the_loop(tmp_path):
    """Of 200 sessions, so that shares of a context and means of its halves fall into other quartiles."""
    store, data = tiny_store(tmp_path / "store", sessions=200), DataConfig(vocabulary="transductive")
    found = strata(make_scene(store, split_store(store, data), data, CONFIG, "test", "cpu"))
    skipped = [2 <= s <= 3 for s in np.asarray(store.strength).tolist()]
    parts = [skipped[int(b) : int(e) - 1] for b, e in itertools.pairwise(store.offsets)]  # contexts
    shares = [sum(part) / len(part) for part in parts]
    bounds = np.quantile(shares, (0.25, 0.5, 0.75))
    kinds = ["listener", "listen-then-skip", "skip-then-listen", "skipper"]
    for i, part in enumerate(parts):
        middle = len(part) // 2
        halves = [sum(half) / max(len(half), 1) >= 0.5 for half in (part[:middle], part[middle:])]
        quartile = ("1st", "2nd", "3rd", "4th")[sum(shares[i] > bound for bound in bounds)]
        position = next((b for b in (5, 10, 15, 20) if len(part) <= b), None)
        assert found[f"session_type={kinds[2 * halves[0] + halves[1]]}"][i]
        assert found[f"skip_share={quartile}"][i]
        assert found[f"position={position - 4}-{position}"][i]


@pytest.mark.parametrize("skip_at_least", [1, 2, 3])
def test_a_flip_turns_every_listened_track_into_a_skipped_one_and_back(skip_at_least):
    """Strengths 0..3, unknown (4), hidden (5) as the last valid feedback; what stands before it stays."""
    feedback = torch.tensor([[3, last, 5] for last in range(5)] + [[1, 1, 2], [5, 5, 5]])
    valid = torch.tensor([[True, True, False]] * 5 + [[True] * 3, [False] * 3])
    batch = padded_batch(feedback + 3, feedback, valid)
    turned = flipped(batch, skip_at_least)
    each = [codes.tolist() for codes in turned.feedback.split(batch.lengths.tolist())]
    assert each[:5] == [[3, 3 if last < skip_at_least else 0] for last in range(4)] + [[3, 4]]
    assert each[5] == [1, 1, 0 if skip_at_least <= 2 else 3]
    assert each[6] == [5], "a session without tracks stays as it is"
    assert torch.equal(turned.tracks, batch.tracks)


@pytest.mark.parametrize("skip_at_least", [1, 2, 3])
def test_the_groups_of_targets_follow_what_counts_as_a_skip(tmp_path, skip_at_least):
    store, data = tiny_store(tmp_path / "store", sessions=60), DataConfig(skip_at_least=skip_at_least)
    found = target_groups(make_scene(store, split_store(store, data), data, CONFIG, "test", "cpu"))
    strength = np.asarray(store.strength)[np.asarray(store.offsets[1:]) - 1]
    assert {1, 2} <= set(strength.tolist())
    assert found["listened"].tolist() == [s < skip_at_least for s in strength.tolist()]
    assert found["skipped"].tolist() == [skip_at_least <= s <= 3 for s in strength.tolist()]


def test_the_flip_of_an_evaluation_follows_what_counts_as_a_skip(tmp_path):
    """With skips from 3 on, strength 2 was listened to: flipping it must make it a skip."""
    store = tiny_store(tmp_path / "store", sessions=60)
    data = DataConfig(vocabulary="transductive", skip_at_least=3)
    scene = make_scene(store, split_store(store, data), data, CONFIG, "test", "cpu")
    seen = []

    class Watcher(FeedbackReader):
        def stand(self, batch, tracks, k, scored=None):
            seen.append(batch.feedback[batch.last].numpy())
            return super().stand(batch, tracks, k, scored)

    evaluate_scorers(scene, [Watcher(43)], ["full"])
    before, after = seen[0], seen[-1]  # held-out targets, and again with their feedback flipped
    assert {2, 3} <= set(before.tolist())
    assert after.tolist() == [{0: 3, 1: 3, 2: 3, 3: 0, 4: 4}[code] for code in before.tolist()]


def test_the_strata_of_one_kind_part_the_targets(scene):
    members = strata(scene)
    for kind in ("position", "popularity", "session_type", "skip_share"):
        whole = np.sum([member for name, member in members.items() if name.startswith(f"{kind}=")], axis=0)
        assert (whole == 1).all(), kind


def test_scores_that_are_no_numbers_rank_last_and_the_command_fails(tmp_path, capsys):
    store = tiny_store(tmp_path / "store")
    train(store, tmp_path / "run", TrainOptions(recipe=small_recipe(training__epochs=1)))
    asked = ["evaluate", str(tmp_path / "run"), str(tmp_path / "store"), "--model-only"]
    assert main([*asked, "--json"]) == 0
    weights = load_run(tmp_path / "run").encoder.state_dict()
    weights["predict.bias"].fill_(float("nan"))
    RunFolder.open(tmp_path / "run").save_weights("best", weights, {"epoch": 1})
    assert main(asked) == 1
    assert "NaN score" in capsys.readouterr().err
    assert (
        evaluate(tmp_path / "run", store, EvaluateOptions(model_only=True)).row("model", "full").metrics["hr@20"].value
        == 0
    )
