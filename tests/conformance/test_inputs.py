"""What every input keeps: unknown values, causality, the exported form, what training hides, saving and loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segue import columns
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, Split, split_store
from segue.batches.track_features import track_features
from segue.model import Encoder
from segue.model.encoders.causal import CausalConfig
from segue.model.inputs import INPUTS, TrackValues, load_side
from segue.model.inputs.context import SIZES, ContextConfig
from segue.model.inputs.features import FeaturesConfig
from segue.model.inputs.feedback_codes import FeedbackConfig
from segue.runs import load_run
from segue.store import NUM_SPECIALS, Store
from segue.training import fit
from segue.training.trainer import Trainer
from support.small_models import encoder_of, example_config, example_of
from support.small_recipes import small_recipe
from support.stores import rewritten, tiny_store, values_of

WIDTH, MAX_LEN = 16, 8
CONFIGS: Mapping[str, Any] = {
    "feedback": FeedbackConfig(),
    "context": ContextConfig(tuple(SIZES)),
    "features": FeaturesConfig(),
}
"""Each input, with all that it can read."""
SECTIONS: Mapping[str, Any] = {
    "feedback": True,
    "context": {"columns": list(SIZES)},
    "features": True,
}
"""The same as sections of a recipe."""
HIDDEN_SHARES: Mapping[str, float] = {"feedback": 0.0, "context": 0.1, "features": 0.2}
"""The share that training hides, as the inputs state it."""
OF_TARGET_ROW = (columns.HOUR, columns.PREMIUM)
"""Columns that are known of the row to be predicted: a law of the method, so it is not read from the code."""
OTHERS_OF_TARGET_ROW = ("tracks", "strength", columns.CONTEXT_TYPE, columns.SHUFFLE, columns.AT)


def test_every_input_is_in_the_suite() -> None:
    assert set(INPUTS) == set(CONFIGS) == set(SECTIONS) == set(HIDDEN_SHARES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return tiny_store(tmp_path_factory.mktemp("inputs") / "store", sessions=400, rich=True)


@pytest.fixture(scope="module")
def split(store: Store) -> Split:
    return split_store(store, DataConfig(max_len=MAX_LEN))


@pytest.fixture(params=CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def data_of(store: Store, split: Split, name: str) -> SessionData:
    return SessionData.load(store, split, "cpu", load_side({name: CONFIGS[name]}, store, split, "cpu"))


def contexts(store: Store, split: Split, name: str) -> Batch:
    """Return the sessions before some test targets."""
    return data_of(store, split, name).context_batch(split.cases["test"], np.arange(24), MAX_LEN)


def reading(store: Store, split: Split, name: str) -> Encoder:
    """Return a causal encoder that reads one input, whose parameters are far enough from 0 to show."""
    values = track_features(store)
    assert values is not None
    generator = torch.Generator().manual_seed(2)
    encoder = encoder_of(
        CausalConfig(width=WIDTH, heads=2, ffn_width=16), store.num_tracks, MAX_LEN, generator,
        {name: CONFIGS[name]}, track_values=TrackValues(torch.from_numpy(values), torch.ones(len(values)) > 0),
    )  # fmt: skip
    with torch.no_grad():
        encoder.table.weight[2:] *= 20
        for parameter in encoder.inputs.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return encoder.eval()


def rows_with_input(encoder: Encoder, batch: Batch) -> Tensor:
    """Return the rows of the positions with what the input makes of them, [N, D]."""
    rows: Tensor = encoder.with_inputs(batch, encoder.rows(encoder.looked_up(batch)))  # type: ignore[operator]
    return rows


def bare(batch: Batch) -> Batch:
    return replace(batch, side={}, session_side={})


def all_unknown(store: Store, split: Split, name: str, batch: Batch) -> Batch:
    """Return the batch whose values are all hidden, as training hides them."""
    side = load_side({name: CONFIGS[name]}, store, split, "cpu")

    def hidden(values: Tensor) -> Tensor:
        return side[name].hidden(values, torch.zeros(len(values), side[name].num_draws))

    return replace(
        batch,
        side={each: hidden(values) for each, values in batch.side.items()},
        session_side={each: hidden(values) for each, values in batch.session_side.items()},
    )


def test_a_batch_without_values_is_one_of_unknown_values(store: Store, split: Split, name: str) -> None:
    encoder, batch = reading(store, split, name), contexts(store, split, name)
    has_values = name in batch.side or name in batch.session_side
    assert set(batch.side) | set(batch.session_side) <= {name}
    with_values, unknown, without = (
        encoder.next_state(each) for each in (batch, all_unknown(store, split, name, batch), bare(batch))
    )
    torch.testing.assert_close(unknown, without)
    assert torch.allclose(with_values, without) != has_values


def test_what_is_added_to_a_position_never_depends_on_later_positions(store: Store, split: Split, name: str) -> None:
    encoder, batch = reading(store, split, name), contexts(store, split, name)
    column = torch.arange(len(batch.tracks)) - batch.offsets[batch.session]
    later = column >= 3
    generator = torch.Generator().manual_seed(3)
    other = torch.randperm(len(batch.tracks), generator=generator)
    changed = replace(
        batch,
        tracks=torch.where(later, batch.tracks[other], batch.tracks),
        feedback=torch.where(later, (batch.feedback + 1) % 4, batch.feedback),
        side={each: torch.where(later[:, None], values[other], values) for each, values in batch.side.items()},
    )
    before, after = rows_with_input(encoder, batch), rows_with_input(encoder, changed)
    assert torch.equal(before[~later], after[~later])
    assert not torch.equal(before[later], after[later])
    states, others = encoder(batch), encoder(changed)
    torch.testing.assert_close(states[~later], others[~later])


def test_what_an_input_reads_before_a_target_never_depends_on_its_row_or_later_ones(
    tmp_path: Path, store: Store, split: Split, name: str
) -> None:
    """Hour and premium of the target's row apart: they are known when it is to be predicted."""
    cases = split.cases["validation"]  # a test target follows each
    index, random = np.arange(len(cases)), np.random.default_rng(4)
    readable = ("tracks", "strength", *SIZES, columns.AT)
    batches = []
    for changed in ((), OTHERS_OF_TARGET_ROW, OF_TARGET_ROW):
        values = values_of(store)
        for column in (column for column in readable if column in values):
            rows = cases.target + 1
            if column in changed:
                rows = np.concatenate((rows, cases.target))
            if changed:
                values[column][rows] = random.permutation(values[column])[: len(rows)]
        other = rewritten(tmp_path / f"changed-{len(batches)}", store, values)
        assert np.array_equal(other.tracks, store.tracks) == (not changed)
        batch = data_of(other, split, name).context_batch(cases, index, MAX_LEN)
        batches.append({**batch.side, **batch.session_side, "tracks": batch.tracks, "feedback": batch.feedback})
    for each, values in batches[0].items():
        assert torch.equal(values, batches[1][each]), each
        assert torch.equal(values, batches[2][each]) == (each != "context"), "and what is known is read"


def test_the_exported_form_is_that_of_a_batch_without_values(store: Store, split: Split, name: str) -> None:
    encoder, batch = reading(store, split, name), bare(contexts(store, split, name))
    padded = batch.padded
    (part,) = encoder.each_input
    laid = part(encoder.rows(padded.tracks), padded.feedback, None)[padded.valid]
    torch.testing.assert_close(laid, rows_with_input(encoder, batch))
    rows = encoder.rows(padded.tracks)
    states = encoder.padded_next_state(rows, padded.feedback, padded.valid, encoder.rows(torch.tensor(2)))
    torch.testing.assert_close(states, encoder.next_state(batch))


def test_training_hides_the_stated_share_session_by_session(store: Store, split: Split, name: str) -> None:
    encoder, data = reading(store, split, name), data_of(store, split, name)
    config = example_config(encoder, shifted=False)
    wide = replace(data, side={})
    example, whole = (example_of(config, each, torch.Generator().manual_seed(5)) for each in (data, wide))
    assert torch.equal(example.batch.tracks, whole.batch.tracks), "tracks are never hidden"
    assert torch.equal(example.batch.feedback, whole.batch.feedback)
    if name == "features":
        shares = []
        tracks = torch.arange(NUM_SPECIALS, store.num_tracks + NUM_SPECIALS)
        table_rows, (part,) = torch.ones(len(tracks), WIDTH), encoder.each_input
        projected = part.track_rows(table_rows * 0, tracks)
        for step in range(40):
            rows = part.track_rows(table_rows, tracks, torch.tensor([step * 7919 + 11])) - projected
            shares.append((rows.abs() < 0.5).all(dim=1).float().mean())
        assert torch.stack(shares).mean().item() == pytest.approx(HIDDEN_SHARES[name], abs=0.03)
        assert not (part.track_rows(table_rows, tracks) - projected - 1).abs().gt(1e-5).any(), "none without a key"
        return
    assert bool(HIDDEN_SHARES[name]) == bool(data.side)
    batch = example.batch
    for each, side in data.side.items():
        values = (batch.session_side if side.per_session else batch.side)[each]
        index = data.train_session if side.per_session else training_rows(data, batch)
        true_values = side.gather(index)
        unknown = side.hidden(true_values, torch.zeros(len(values), side.num_draws))
        session = torch.arange(len(values)) if side.per_session else batch.session
        for column in range(side.num_draws):
            place = (..., column) if side.num_draws > 1 else ...
            differs = (values[place] != true_values[place]).reshape(len(values), -1).any(1)
            hidden = torch.zeros(batch.num_sessions, dtype=torch.bool)
            hidden[session[differs]] = True
            of_hidden = hidden[session]
            assert torch.equal(values[of_hidden][place], unknown[of_hidden][place]), "a session as a whole"
            assert torch.equal(values[~of_hidden][place], true_values[~of_hidden][place])
            # sessions without anything to hide do not show
            can_show = torch.zeros(batch.num_sessions, dtype=torch.bool)
            can_show[session[(true_values[place] != unknown[place]).reshape(len(values), -1).any(1)]] = True
            share = hidden[can_show].float().mean().item()
            assert share == pytest.approx(HIDDEN_SHARES[name], abs=0.06), column


def training_rows(data: SessionData, batch: Batch) -> Tensor:
    """Return the row of each position of the example of all sessions."""
    column = torch.arange(len(batch.tracks)) - batch.offsets[batch.session]
    first = data.train_end - 1 - batch.lengths
    return first[batch.session] + column


def test_a_saved_and_loaded_run_gives_the_same_states(tmp_path: Path, store: Store, split: Split, name: str) -> None:
    """And its input was trained."""
    recipe = small_recipe(
        "paper-causal-s-minus", next_track__kind="shared", training__epochs=1, **{f"inputs__{name}": SECTIONS[name]}
    )
    batch, states = contexts(store, split, name), list[Tensor]()

    def states_now(_: Split, encoder: Encoder) -> dict[str, float]:
        states.append(encoder.next_state(batch))
        return {"ndcg@20": 0.5}

    fit(store, tmp_path / "run", recipe, validate=states_now)
    run = load_run(tmp_path / "run")
    assert run.recipe == recipe.resolved(split_store(store, recipe.data), "cpu")
    assert list(run.encoder.inputs) == [name]
    with torch.no_grad():  # as `fit` validates
        assert torch.equal(run.encoder.next_state(batch), states[-1])
    with torch.random.fork_rng():
        before = Trainer(store, split, recipe, torch.device("cpu"), bf16=False).weights()
    for key, value in run.encoder.inputs.named_parameters():
        assert not torch.equal(value, before[f"inputs.{key}"]), key
