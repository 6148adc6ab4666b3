"""Baselines are ranked by as many threads as torch has: the same ranks, and torch's number of threads as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import split_store
from segue.evaluation import Table, make_scene, ranking_pass
from segue.evaluation.ranking_pass import full_ranks, sampled_ranks
from segue.ranking import fit_baselines
from segue.ranking.baselines import Markov
from support.small_recipes import small_recipe
from support.stores import tiny_store


@pytest.fixture
def table(tmp_path: Path) -> Table:
    store, recipe = tiny_store(tmp_path / "store"), small_recipe("paper-causal-s-minus")
    split = split_store(store, recipe.data)
    return Table(make_scene(store, split, recipe.data, recipe.evaluation, "test", torch.device("cpu")))


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ranking_pass, "BATCH", 3)
    monkeypatch.setattr(ranking_pass, "FULL_BATCH", 2)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_ranks_hang_on_no_number_of_threads(table: Table) -> None:
    found = []
    for threads in (1, 4):
        torch.set_num_threads(threads)
        scorers = fit_baselines(table.scene.store, table.scene.split)
        sampled = [sampled_ranks(scorer, table.scene.contexts, table.uniform) for scorer in scorers]
        full = [full_ranks(scorer, table.scene.contexts) for scorer in scorers]
        found.append((sampled, full))
        assert torch.get_num_threads() == threads
    for one, other in zip(*(sampled + full for sampled, full in found), strict=True):
        assert np.array_equal(one.ranks, other.ranks)
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.best, other.best)


def test_what_fails_in_a_thread_is_raised_and_torch_has_its_threads_again(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Markov, *_: object) -> None:
        raise RuntimeError("no transitions")

    scorer = next(one for one in fit_baselines(table.scene.store, table.scene.split) if one.name == "markov")
    monkeypatch.setattr(Markov, "_session_scores", broken)
    torch.set_num_threads(3)
    with pytest.raises(RuntimeError, match="no transitions"):
        sampled_ranks(scorer, table.scene.contexts, table.uniform)
    assert torch.get_num_threads() == 3
