"""Early stopping may look at a sample of the validation targets: the same in every run, whatever their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import split_store
from segue.encoders import build_encoder
from segue.errors import InputError
from segue.evaluation import session_candidates as session_candidates_module
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import sampled_ranks
from segue.evaluation.scene import make_scene
from segue.evaluation.session_candidates import session_candidates
from segue.evaluation.validation import Validation, sampled
from segue.ranking import ModelScorer
from segue.recipes import load_recipe
from small_recipes import small_recipe
from stores import tiny_store

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
    store = tiny_store(tmp_path / "store")
    recipe = small_recipe("paper-causal-s-minus")
    split = split_store(store, recipe.data)
    generator = torch.Generator().manual_seed(3)
    encoder = build_encoder(recipe.encoder, store.num_tracks, recipe.data.max_len, sparse=True, generator=generator)
    encoder.eval()
    found = Validation(store, split, recipe.data, recipe.evaluation, torch.device("cpu"), most).measure(encoder)
    scene = make_scene(store, split, recipe.data, recipe.evaluation, "validation", torch.device("cpu"))
    session = split.cases["validation"].session
    config = recipe.evaluation
    drawn = session_candidates(store, session, split.candidates, config.candidates, config.seed)
    ranks = sampled_ranks(ModelScorer(encoder, split.candidates), scene.held, drawn).ranks[:, 0]
    chosen = sampled(np.asarray(store.session_key[session]), most, config.seed)
    assert len(chosen) == (most or len(session))
    assert found["hr@10"] == hit(ranks[chosen], 10).mean()


def test_candidates_that_are_kept_are_those_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(tmp_path / "store")
    split = split_store(store, small_recipe("paper-causal-s-minus").data)
    drawn = session_candidates(store, split.cases["test"].session, split.candidates, 7, 0)
    assert drawn.kept() is drawn
    monkeypatch.setitem(session_candidates_module.KEPT_BYTES, "cpu", 2**20)
    monkeypatch.setattr(session_candidates_module, "BLOCK", 3)
    kept, index = drawn.kept(), np.array([4, 0, 2])
    assert isinstance(kept, session_candidates_module.KeptCandidates)
    assert (kept.num, kept.num_fewer) == (drawn.num, drawn.num_fewer)
    assert torch.equal(kept.rows(index), drawn.rows(index))
    assert torch.equal(kept.of(index).rows(np.array([2, 1])), drawn.rows(np.array([2, 0])))
    none = session_candidates(store, split.cases["test"].session[:0], split.candidates, 7, 0)
    assert none.kept() is none


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(InputError, match="validation_targets"):
        load_recipe("paper-causal-s-minus", {"training.validation_targets": -1})
