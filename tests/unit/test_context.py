"""Inputs beside the tracks: what is known when the next row is asked for, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import api, columns
from segue.batches.causal import causal_example
from segue.batches.context import ASKED, GAPS_S, SIZES, context_codes
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, split_store
from segue.checkpoint import load_run
from segue.columns import CONTEXT
from segue.errors import InputError
from segue.ranking import ModelScorer
from segue.recipes import load_recipe
from segue.store import Store
from small_recipes import small_recipe
from stores import tiny_store

EVERY = tuple(SIZES)


def test_codes_are_of_the_row_that_is_asked_for_or_of_the_last_one(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", rich=True)
    found = context_codes(store, EVERY)
    for begin, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
        for row in range(int(begin), int(end)):
            for place, name in enumerate(EVERY):
                if name == "gap":
                    gap = int(store.side(columns.AT)[row]) - int(store.side(columns.AT)[row - 1])
                    wanted = SIZES["gap"] if row == begin else sum(gap >= bound for bound in GAPS_S)
                elif name in ASKED:
                    wanted = int(store.side(name)[row + 1]) if row + 1 < end else SIZES[name]
                else:
                    wanted = int(store.side(name)[row])
                assert found[row, place] == wanted


class _Changed(Store):
    """A store whose side columns are other ones at some rows."""

    changes: dict[str, Any]

    def side(self, name: str) -> Any:
        values = np.array(super().side(name))
        if name in self.changes:
            rows, others = self.changes[name]
            values[rows] = others[rows]
        return values


def test_of_the_target_row_a_score_knows_hour_and_premium_alone(tmp_path: Path) -> None:
    """Every other column of target rows, and every column of what comes after them, changes no byte of a score."""
    store = tiny_store(tmp_path / "store", sessions=60, rich=True)
    recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", data__context=list(EVERY))
    api.train(store, tmp_path / "run", recipe=recipe)
    run, split = load_run(tmp_path / "run"), split_store(store, recipe.data)
    cases, generator = split.cases["validation"], np.random.default_rng(5)
    after = np.setdiff1d(np.arange(store.num_rows), np.concatenate([
        np.arange(b, t) for b, t in zip(cases.begin, cases.target, strict=True)
    ]))  # fmt: skip
    shuffled = {name: generator.permutation(np.array(store.side(name))) for name in (*EVERY[:4], columns.AT)}
    hidden = {name: (after, values) for name, values in shuffled.items() if name not in ASKED}
    later = np.setdiff1d(after, cases.target)
    hidden |= {name: (later, shuffled[name]) for name in ASKED}
    scores = []
    for changes in ({}, hidden, {columns.HOUR: (cases.target, shuffled[columns.HOUR])}):
        changed = _Changed(tmp_path / "store")
        changed.changes = changes
        data = SessionData.load(changed, split, "cpu", EVERY)
        batch = data.context_batch(cases, np.arange(len(cases)), 8)
        scores.append(ModelScorer(run.encoder, split.candidates).score_all(batch))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2]), "the hour of the target row is known when it is asked for"


def test_training_forgets_some_inputs_of_some_sessions_as_a_whole(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=400, rich=True)
    split = split_store(store, DataConfig())
    data = SessionData.load(store, split, "cpu", EVERY)
    window = data.training_window(torch.arange(data.num_training), 9)
    example = causal_example(window, 8, torch.Generator().manual_seed(0), "literal", 0.0, EVERY)
    found, whole = example.batch.side[CONTEXT], window.context
    assert whole is not None
    for place, name in enumerate(EVERY):
        forgotten = (found[:, :, place] == SIZES[name]).all(1)
        assert 0.04 < forgotten.float().mean() < 0.17
        assert torch.equal(found[~forgotten][:, :, place], whole[~forgotten][:, :-1, place])


def test_without_context_a_run_with_context_recommends(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", rich=True)
    recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", data__context=["hour", "gap"])
    api.train(store, tmp_path / "run", recipe=recipe)
    assert load_run(tmp_path / "run").encoder.inputs == {"hour", "gap"}
    assert len(api.load(tmp_path / "run").recommend(["t0003", "t0007"], k=5)) == 5
    assert api.evaluate(tmp_path / "run", store, protocol="full").row("model", "full").metrics["hr@10"].value >= 0


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    plain = tiny_store(tmp_path / "store")
    for name, said in (("hour", "no column 'hour'"), ("gap", "no times")):
        recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", data__context=[name])
        with pytest.raises(InputError, match=said):
            api.train(plain, tmp_path / "run", recipe=recipe, overwrite=True)
    for changes, said in (
        ({"data.context": ["our"]}, "did you mean 'hour'"),
        ({"data.context": ["hour", "hour"]}, "twice"),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", changes)
    with pytest.raises(InputError, match="must be"):
        load_recipe("paper-cloze-s-minus", {"data.context": ["hour"]})
