"""Early stopping may look at a sample of the validation targets: the same in every run, whatever their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue.batches.split import Split, split_store
from segue.errors import InputError
from segue.evaluation import candidates as candidates_module
from segue.evaluation import settle_listen as settle_module
from segue.evaluation.candidates import Candidates, session_candidates
from segue.evaluation.evaluation_scene import EvaluationScene, make_scene, sampled
from segue.evaluation.metrics import gain, hit
from segue.evaluation.ranking_pass import full_ranks
from segue.evaluation.settle_listen import listen_terms
from segue.evaluation.settle_mixture import settle_mixture
from segue.evaluation.settle_ranking import try_weights
from segue.evaluation.validation import Validation, validating
from segue.model import Encoder
from segue.ranking import ModelScorer
from segue.recipes import load_recipe
from segue.runs import load_run
from segue.training import fit
from support.small_models import encoder_of
from support.small_recipes import small_recipe
from support.stores import tiny_store

KEYS = np.random.default_rng(1).integers(0, 2**64 - 1, 4000, np.uint64)


def test_a_larger_sample_holds_a_smaller_one_and_order_does_not_matter() -> None:
    few, more = sampled(KEYS, 50, 0), sampled(KEYS, 500, 0)
    assert len(few) == 50
    assert (np.diff(few) > 0).all()
    assert set(few) < set(more)
    turned = sampled(KEYS[::-1], 50, 0)
    assert set(KEYS[few]) == set(KEYS[::-1][turned])


def test_the_sample_hangs_on_the_seed_and_is_uniform() -> None:
    assert set(sampled(KEYS, 50, 0)) != set(sampled(KEYS, 50, 1))
    first_half = np.mean([(sampled(KEYS, 400, seed) < 2000).mean() for seed in range(20)])
    assert abs(first_half - 0.5) < 0.02


@pytest.mark.parametrize("most", [0, 4000, 5000])
def test_all_where_there_are_no_more(most: int) -> None:
    assert sampled(KEYS, most, 0).tolist() == list(range(4000))


@pytest.mark.parametrize("most", [0, 7])
def test_metrics_are_those_of_the_sampled_targets(tmp_path: Path, most: int) -> None:
    """And of the candidates of the same seed: of five seeds, those whose targets and candidates tell them apart."""
    store, values = tiny_store(tmp_path / "store"), set[tuple[float, float]]()
    for seed in range(5):
        recipe = small_recipe("paper-causal-s-minus", evaluation__seed=seed, evaluation__candidates=20)
        split = split_store(store, recipe.data)
        generator = torch.Generator().manual_seed(3)
        encoder = encoder_of(recipe.encoder, store.num_tracks, recipe.data.max_len, generator)
        encoder.eval()
        recipe = replace(recipe, training=replace(recipe.training, validation_targets=most))
        measured = Validation(store, split, recipe, torch.device("cpu")).measure(encoder)
        scene = make_scene(store, split, recipe.data, recipe.evaluation, "validation", torch.device("cpu"))
        session = split.cases["validation"].session
        drawn = session_candidates(store, session, split.candidates, recipe.evaluation.candidates, seed)
        ranks = full_ranks(ModelScorer(encoder, split.candidates), scene.contexts).ranks[:, 0]
        chosen = sampled(np.asarray(store.session_key[session]), most, seed)
        assert len(chosen) == (most or len(session))
        assert (measured["hr@1"], measured["hr@10"]) == (hit(ranks[chosen], 1).mean(), hit(ranks[chosen], 10).mean())
        assert measured["loss"] == pytest.approx(_loss(encoder, split, scene, drawn, chosen), rel=1e-5)
        assert validating(store, recipe)(split, encoder) == measured
        values.add((measured["hr@1"], measured["hr@10"], measured["loss"]))
    assert len(values) > 2


def _loss(
    encoder: Encoder, split: Split, scene: EvaluationScene, drawn: Candidates, chosen: NDArray[np.int64]
) -> float:
    """Return the mean of -log softmax of the targets that are candidates, one by one."""
    scorer, losses = ModelScorer(encoder, split.candidates), list[float]()
    for index, batch in scene.contexts.blocks(1):
        target, rivals = scene.contexts.target[index[0]], drawn.rows(index)[0]
        if index[0] in chosen and target in split.candidates:
            asked = torch.tensor([[int(target), *rivals[rivals >= 0].tolist()]])
            losses.append(-float(scorer.score(batch, asked)[0].double().log_softmax(0)[0]))
    return float(np.mean(losses))


def test_settling_looks_at_the_sample_that_the_seed_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate and temperature, P(listen) and lambda alike, of at most so many targets as each may look at."""
    store, most, levels = tiny_store(tmp_path / "store", sessions=40), 9, set[float]()
    recipe = small_recipe("segue", training__epochs=1, heads__listen=True)
    fit(store, tmp_path / "run", recipe)
    encoder, split = load_run(tmp_path / "run").encoder, split_store(store, recipe.data)
    keys, cases = np.asarray(store.session_key), split.cases["validation"]
    ranked = np.isin(store.tracks[cases.target], split.candidates)
    for seed in range(3):
        config = replace(recipe.evaluation, seed=seed)
        scene = make_scene(store, split, recipe.data, config, "validation", "cpu")
        chosen = sampled(keys[cases.session], most, seed)
        settled = settle_mixture(scene, encoder, most)
        assert settled["mixture"]["targets"] == ranked[chosen].sum()
        for name in ("transitions", "copy"):
            encoder.heads[name].ranking_weights = encoder.heads[name].weights_type()
        gains = gain(full_ranks(ModelScorer(encoder, split.candidates), scene.contexts).ranks[:, 0], 20)
        level = try_weights(scene, encoder, most)[0]["ndcg@20"]
        assert level == pytest.approx(gains[chosen].mean())
        levels.add(level)
        usable = np.flatnonzero(ranked & (np.asarray(store.strength)[cases.target] < 4))
        (parts, heard), place = listen_terms(scene, encoder), sampled(keys[cases.session[usable]], most, seed)
        with monkeypatch.context() as few:
            few.setattr(settle_module, "MOST_PLAYS", most)
            some_parts, some_heard = listen_terms(scene, encoder)
        torch.testing.assert_close(some_parts, parts[place])
        assert torch.equal(some_heard, heard[place])
    assert len(levels) > 1


def test_candidates_that_are_kept_are_those_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(tmp_path / "store")
    split = split_store(store, small_recipe("paper-causal-s-minus").data)
    drawn = session_candidates(store, split.cases["test"].session, split.candidates, 7, 0)
    assert drawn.kept() is drawn
    monkeypatch.setitem(candidates_module.KEPT_BYTES, "cpu", 2**20)
    monkeypatch.setattr(candidates_module, "BLOCK", 3)
    kept, index = drawn.kept(), np.array([4, 0, 2])
    assert kept.stored is not None
    assert (kept.num, kept.num_fewer) == (drawn.num, drawn.num_fewer)
    assert torch.equal(kept.rows(index), drawn.rows(index))
    assert torch.equal(kept.of(index).rows(np.array([2, 1])), drawn.rows(np.array([2, 0])))
    none = session_candidates(store, split.cases["test"].session[:0], split.candidates, 7, 0)
    assert none.kept() is none


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(InputError, match="validation_targets"):
        load_recipe("paper-causal-s-minus", {"training.validation_targets": -1})
