"""Inputs beside the tracks: what is known when the next row is asked for, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import columns
from segue.batches.data import SessionData
from segue.batches.example import ExampleConfig
from segue.batches.split import DataConfig, Split, split_store
from segue.errors import InputError
from segue.model.inputs import load_side
from segue.model.inputs.context import GAPS_S, OF_NEXT_ROW, SIZES, ContextConfig, context_codes
from segue.ranking import ModelScorer
from segue.recipes import load_recipe
from segue.runs import load_run
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.recommender import load
from segue.verbs.train import TrainOptions, train
from support.dense_scores import all_scores
from support.small_models import example_of
from support.small_recipes import small_recipe
from support.stores import tiny_store

EVERY = tuple(SIZES)
OF_ROWS = EVERY[:5]
"""Those that are told by the rows of a session; the others have tests of their own."""
READS = {"context": ContextConfig(EVERY)}


def data_of(store: Store, split: Split) -> SessionData:
    return SessionData.load(store, split, "cpu", load_side(READS, store, split, "cpu"))


def test_codes_are_of_the_row_that_is_asked_for_or_of_the_last_one(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", rich=True)
    codes = context_codes(store, split_store(store, DataConfig()), ContextConfig(EVERY))
    for begin, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
        for row in range(int(begin), int(end)):
            for place, name in enumerate(OF_ROWS):
                if name == "gap":
                    gap = int(store.side(columns.AT)[row]) - int(store.side(columns.AT)[row - 1])
                    expected = SIZES["gap"] if row == begin else sum(gap >= bound for bound in GAPS_S)
                elif name in OF_NEXT_ROW:
                    expected = int(store.side(name)[row + 1]) if row + 1 < end else SIZES[name]
                else:
                    expected = int(store.side(name)[row])
                assert codes[row, place] == expected


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
    recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", inputs__context={"columns": list(EVERY)})
    train(store, tmp_path / "run", TrainOptions(recipe=recipe))
    run, split = load_run(tmp_path / "run"), split_store(store, recipe.data)
    cases, generator = split.cases["validation"], np.random.default_rng(5)
    after = np.setdiff1d(np.arange(store.num_rows), np.concatenate([
        np.arange(b, t) for b, t in zip(cases.begin, cases.target, strict=True)
    ]))  # fmt: skip
    shuffled = {name: generator.permutation(np.array(store.side(name))) for name in (*EVERY[:4], columns.AT)}
    hidden = {name: (after, values) for name, values in shuffled.items() if name not in OF_NEXT_ROW}
    later = np.setdiff1d(after, cases.target)
    hidden |= {name: (later, shuffled[name]) for name in OF_NEXT_ROW}
    scores = []
    for changes in ({}, hidden, {columns.HOUR: (cases.target, shuffled[columns.HOUR])}):
        changed = _Changed(tmp_path / "store")
        changed.changes = changes
        batch = data_of(changed, split).context_batch(cases, np.arange(len(cases)), 8)
        scores.append(all_scores(ModelScorer(run.encoder, split.candidates), batch, split.candidates))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2]), "the hour of the target row is known when it is asked for"


def test_training_forgets_some_inputs_of_some_sessions_as_a_whole(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=400, rich=True)
    split = split_store(store, DataConfig())
    data = data_of(store, split)
    config = ExampleConfig(masked=False, max_len=8, width=9, replaced_share=0.0, shifted=False)
    batch = example_of(config, data, torch.Generator().manual_seed(0)).batch
    column = torch.arange(len(batch.tracks)) - batch.offsets[batch.session]
    whole = data.side["context"].gather((data.train_end - 1 - batch.lengths)[batch.session] + column)
    codes, num_hidden = batch.side["context"], torch.zeros(len(batch.lengths))
    for place, name in enumerate(EVERY):
        shown, there = (
            torch.zeros(len(batch.lengths)).index_add_(0, batch.session, (each[:, place] != SIZES[name]).float()) > 0
            for each in (codes, whole)
        )
        hidden = there & ~shown
        assert 0.04 < hidden[there].float().mean() < 0.17
        assert torch.equal(codes[shown[batch.session]][:, place], whole[shown[batch.session]][:, place])
        num_hidden += hidden
    assert (num_hidden == 1).any(), "each column by itself"


def test_without_context_a_run_with_context_recommends(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", rich=True)
    recipe = small_recipe(
        "paper-causal-s-minus", next_track__kind="shared", inputs__context={"columns": ["hour", "gap"]}
    )
    train(store, tmp_path / "run", TrainOptions(recipe=recipe))
    run = load_run(tmp_path / "run")
    assert list(run.encoder.inputs) == ["context"]
    assert run.recipe.inputs == {"context": ContextConfig(("hour", "gap"))}
    assert len(load(tmp_path / "run").recommend(["t0003", "t0007"], k=5)) == 5
    assert (
        evaluate(tmp_path / "run", store, EvaluateOptions(protocol="full")).row("model", "full").metrics["hr@10"].value
        >= 0
    )


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    plain = tiny_store(tmp_path / "store")
    for name, said in (("hour", "no column 'hour'"), ("gap", "no times")):
        recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", inputs__context={"columns": [name]})
        with pytest.raises(InputError, match=said):
            train(plain, tmp_path / "run", TrainOptions(recipe=recipe, overwrite=True))
    for changes, said in (
        ({"inputs.context.columns": ["our"]}, "did you mean 'hour'"),
        ({"inputs.context.columns": ["hour", "hour"]}, "twice"),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", changes)
    with pytest.raises(InputError, match="must be"):
        load_recipe("paper-cloze-s-minus", {"inputs.context.columns": ["hour"]})
