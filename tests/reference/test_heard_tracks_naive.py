"""Ranks among all tracks without those heard in the session equal plain loops, beside the ranks with them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.split import DataConfig, split_store
from segue.evaluation import make_scene, ranking_pass
from segue.evaluation.ranking_pass import both_forms, full_ranks
from segue.evaluation.strata import target_groups
from segue.model.encoders.causal import CausalConfig
from segue.ranking import ModelScorer, Standing, candidate_table, fit_baselines
from segue.recipes import EvaluationConfig
from segue.store import NUM_SPECIALS
from support.dense_scores import all_scores, dense_standing
from support.evaluated import evaluate_scorers
from support.small_models import encoder_of, padded_batch
from support.stores import tiny_store

NAMES = ("model", "popularity", "repeat-last", "markov", "v-sknn", "listen-rate")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A scene whose contexts hold repeats, tracks without a training row and heard targets, and every scorer."""
    store = tiny_store(tmp_path_factory.mktemp("heard") / "store", sessions=60, tracks=200)
    tracks = np.lib.format.open_memmap(store.path / "shard-00000" / "tracks.npy", mode="r+")
    for session in range(0, 60, 3):  # a b a ... a: heard twice, and the target itself
        begin, end = int(store.offsets[session]), int(store.offsets[session + 1])
        tracks[[begin, end - 2, end - 1]] = tracks[begin]
    tracks.flush()
    store = type(store)(store.path)
    data = DataConfig(vocabulary="training")
    split = split_store(store, data)
    scene = make_scene(store, split, data, EvaluationConfig(candidates=9, resamples=5), "test", "cpu")
    encoder = encoder_of(CausalConfig(width=16, heads=2), store.num_tracks, 20, torch.Generator())
    with torch.no_grad():
        encoder.table.weight.mul_(50)
        encoder.table.weight[20:60] = encoder.table.weight[21]  # a block of tracks that tie
        encoder.table.weight[70] = math.nan
    scorers = {s.name: s for s in [ModelScorer(encoder, split.candidates), *fit_baselines(store, split)]}
    return scene, scorers


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_pass, "FULL_BATCH", 7)
    monkeypatch.setattr(candidate_table, "CPU_CELLS", 1)


def contexts(scene) -> list[Batch]:
    """Return each context alone."""
    padded = next(scene.contexts.blocks(len(scene.contexts.cases)))[1].padded
    parts = padded.tracks, padded.feedback, padded.valid
    return [padded_batch(*(part[i : i + 1] for part in parts)) for i in range(len(scene.contexts.cases))]


def wanted_of(scene) -> np.ndarray:
    """Return four targets a session: held out, one that ties with others, heard first, and one that is no candidate."""
    refused = np.setdiff1d(np.arange(NUM_SPECIALS, scene.store.num_tracks + NUM_SPECIALS), scene.split.candidates)
    assert len(refused)
    num, first = len(scene.contexts.cases), np.asarray(scene.store.tracks)[scene.contexts.cases.begin]
    columns = scene.contexts.target, np.full(num, 41), first, np.resize(refused, num)
    return np.stack(columns, axis=1).astype(np.int64)


def naive_rank(scores: list[float], track: int, rivals: list[int]) -> float:
    own, others = scores[track], [scores[row] for row in rivals if row != track]
    return 1 + sum(not score <= own for score in others) + sum(score == own for score in others) / 2


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_equal_the_loop(name, parts) -> None:
    scene, scorers = parts
    scorer, wanted, allowed = scorers[name], wanted_of(scene), scene.split.candidates.tolist()
    kept, left_out = both_forms(scorer, scene.contexts, wanted)
    alone = full_ranks(scorer, scene.contexts, wanted)
    assert np.array_equal(kept.ranks, alone.ranks)
    assert np.array_equal(kept.best, alone.best)
    seen, num_nan = {"heard": 0, "repeats": 0, "unknown": 0}, 0
    for i, context in enumerate(contexts(scene)):
        scores = all_scores(scorer, context, scene.split.candidates, scene.store.num_tracks + NUM_SPECIALS)[0].tolist()
        heard = context.tracks.tolist()
        rivals = [row for row in allowed if row not in heard]
        for t, track in enumerate(wanted[i].tolist()):
            rank = naive_rank(scores, track, rivals) if track in rivals else math.inf
            assert left_out.ranks[i, t] == rank, (name, i, track)
        real = [row for row in rivals if not math.isnan(scores[row])]
        best = sorted(real, key=lambda row: (-scores[row], row))[:20]
        assert left_out.best[i].tolist() == best + [0] * (20 - len(best))
        num_nan += sum(math.isnan(scores[track]) for track in wanted[i] if track in rivals)
        seen["heard"] += wanted[i, 0] in heard
        seen["repeats"] += len(set(heard)) < len(heard)
        seen["unknown"] += 1 in heard
    assert left_out.num_nan == num_nan
    assert all(count >= 3 for count in seen.values()), seen
    assert np.array_equal(left_out.scores, kept.scores, equal_nan=True)
    assert left_out.behind_all == kept.behind_all == len(allowed) + 1


@pytest.mark.parametrize("name", NAMES)
def test_a_discovery_never_ranks_lower_and_a_repeat_is_a_miss_without_heard_tracks(name, parts) -> None:
    scene, scorers = parts
    groups = target_groups(scene)
    kept, left_out = both_forms(scorers[name], scene.contexts)
    discovery, repeat = groups["discovery"], groups["repeat"]
    assert np.array_equal(discovery, ~repeat)
    assert (left_out.ranks[discovery] <= kept.ranks[discovery]).all()
    assert (left_out.ranks[discovery] < kept.ranks[discovery]).any()
    assert np.isinf(left_out.ranks[repeat]).all()
    assert np.isfinite(kept.ranks[repeat]).any()


class HeardAs:
    """A scorer that gives the tracks of a session one score."""

    name, reads_feedback = "model", False

    def __init__(self, scorer, candidates: np.ndarray, value: float) -> None:
        self.scorer, self.candidates, self.value = scorer, candidates, value

    def score(self, batch: Batch, candidates: torch.Tensor) -> torch.Tensor:
        heard = (candidates[:, :, None] == batch.padded.tracks[:, None]).any(2)
        return self.scorer.score(batch, candidates).masked_fill(heard, self.value)

    def stand(self, batch: Batch, tracks: torch.Tensor, k: int, scored: torch.Tensor | None = None) -> Standing:
        scores = all_scores(self, batch, self.candidates, int(max(self.candidates.max(), tracks.max())) + 1)
        return dense_standing(scores, torch.from_numpy(self.candidates.astype(np.int64)), tracks, k, scored)


@pytest.mark.parametrize("name", ["popularity", "markov", "v-sknn"])
def test_leaving_heard_tracks_out_equals_ranking_them_last(name, parts) -> None:
    scene, scorers = parts
    found = both_forms(scorers[name], scene.contexts)[1]
    last = full_ranks(HeardAs(scorers[name], scene.split.candidates, -math.inf), scene.contexts)
    discovery = target_groups(scene)["discovery"]
    assert np.array_equal(found.ranks[discovery], last.ranks[discovery])
    assert np.array_equal(found.best, last.best)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_without_heard_tracks_their_scores_say_nothing(value, parts) -> None:
    """NaN counts above every target; left out, it counts nowhere."""
    scene, scorers = parts
    found = both_forms(HeardAs(scorers["markov"], scene.split.candidates, value), scene.contexts)[1]
    true = both_forms(scorers["markov"], scene.contexts)[1]
    assert np.array_equal(found.ranks, true.ranks)
    assert np.array_equal(found.best, true.best)
    assert found.num_nan == 0


class Drifting:
    """A scorer whose scores are higher at each call, as sums on a GPU differ a little from pass to pass."""

    name, reads_feedback, calls = "model", False, 0

    def __init__(self, scorer) -> None:
        self.scorer = scorer

    def score(self, batch: Batch, candidates: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.scorer.score(batch, candidates) + self.calls

    def stand(self, batch: Batch, tracks: torch.Tensor, k: int, scored: torch.Tensor | None = None) -> Standing:
        self.calls += 1
        standing = self.scorer.stand(batch, tracks, k, scored)
        moved = None if standing.scored is None else standing.scored + self.calls
        return replace(standing, scores=standing.scores + self.calls, scored=moved)


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_differ_from_pass_to_pass_change_no_rank(name, parts) -> None:
    scene, scorers = parts
    for found, true in zip(
        both_forms(Drifting(scorers[name]), scene.contexts), both_forms(scorers[name], scene.contexts), strict=True
    ):
        assert np.array_equal(found.ranks, true.ranks)
        assert found.ranks.min() >= 1


def test_the_rows_of_both_forms_equal_the_loop(parts) -> None:
    scene, scorers = parts
    evaluation = evaluate_scorers(scene, [scorers["markov"]])
    assert [row.protocol for row in evaluation.rows] == ["full", "unheard", "sampled"]
    kept, left_out = (evaluation.row("markov", protocol) for protocol in ("full", "unheard"))
    pairs = evaluation.targets.pairs
    assert pairs is not None
    before = np.asarray(scene.split.cases["validation"].target)[pairs.chosen]
    begin, tracks = np.asarray(scene.split.cases["validation"].begin)[pairs.chosen], np.asarray(scene.store.tracks)
    for i, (first, row) in enumerate(zip(begin, before, strict=True)):
        heard = set(tracks[first:row].tolist())
        assert left_out.answers.pairs is not None
        assert kept.answers.pairs is not None
        for t in (0, 1):
            rank = left_out.answers.pairs.ranks[i, t]
            if int(tracks[row + t]) in heard:
                assert math.isinf(rank)
            else:
                assert rank <= kept.answers.pairs.ranks[i, t]
    discovery = evaluation.targets.groups["discovery"]
    for metric in ("hr@1", "hr@10"):
        cutoff = int(metric.partition("@")[2])
        assert left_out.metrics[metric].value == pytest.approx((left_out.ranks <= cutoff).mean())
        assert left_out.metrics[f"{metric}.repeat"].value == 0.0
        wanted = (left_out.ranks[discovery] <= cutoff).mean()
        assert left_out.metrics[f"{metric}.discovery"].value == pytest.approx(wanted)
    assert left_out.metrics["repeats@20"].value == 0.0
    assert kept.metrics["repeats@20"].value > 0.0


def test_a_scene_without_targets_gives_no_ranks_in_either_form(parts) -> None:
    scene, scorers = parts
    none = scene.part(scene.contexts.cases, np.zeros(0, np.int64))
    for scorer in scorers.values():
        assert [form.ranks.shape for form in both_forms(scorer, none)] == [(0, 1), (0, 1)]
