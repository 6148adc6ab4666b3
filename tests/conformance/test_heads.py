"""What every head keeps: where it begins, losses of no target, order of positions, gradients, saving and loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segue.batch import Batch
from segue.batches.counts import TrainingCounts, training_counts
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, Split, split_store
from segue.model import Encoder
from segue.model.encoders.causal import CausalConfig
from segue.model.heads import (
    HEADS,
    Added,
    CopyConfig,
    Head,
    ListenConfig,
    NeighboursConfig,
    NeighboursHead,
    Predicted,
    RepeatsConfig,
    TransitionsConfig,
    neighbours,
)
from segue.neighbours.session_neighbours import Shares, neighbour_shares
from segue.neighbours.sparse_scores import FlatSessions
from segue.objectives import full_softmax_loss
from segue.runs import RunFolder, load_run
from segue.store import NUM_SPECIALS, Store
from segue.training import fit
from support.small_models import encoder_of
from support.small_recipes import small_recipe
from support.stores import tiny_store

WIDTH, MAX_LEN, SESSIONS, LENGTH = 16, 8, 12, 5
POSITIONS = SESSIONS * LENGTH
CONFIGS: Mapping[str, Any] = {
    "copy": CopyConfig(),
    "transitions": TransitionsConfig(own_weight=0.5),
    "neighbours": NeighboursConfig(),
    "listen": ListenConfig(gradient="flow"),
    "repeats": RepeatsConfig(),
}
"""Each head, with a gradient in states and rows."""
TRAINED = [name for name in CONFIGS if name != "neighbours"]
"""Heads that training knows; the others weigh in rankings alone."""
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "copy": {"offset": 0.7},
    "transitions": {"temperature": 0.7, "offset": -0.4, "slope": 0.3},
    "neighbours": {"mass": 40.0},
    "listen": {"rate": 1.5, "along": 0.5, "level": -1.0, "bias": 0.3},
    "repeats": {"offset": 0.6},
}
"""Weights of a ranking that validation might choose."""


def test_every_head_is_in_the_suite() -> None:
    assert set(HEADS) == set(CONFIGS)
    assert {name for name, head in HEADS.items() if head.weights_type is not None} == set(WEIGHTS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return tiny_store(tmp_path_factory.mktemp("heads") / "store", sessions=60, tracks=30)


@pytest.fixture(scope="module")
def counts(store: Store) -> TrainingCounts:
    split = split_store(store, DataConfig(max_len=MAX_LEN))
    return training_counts(store, split)


@pytest.fixture(params=TRAINED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def encoder_with(name: str, counts: TrainingCounts, seed: int = 0) -> Encoder:
    num_tracks = len(counts.plays) - NUM_SPECIALS
    config = CausalConfig(width=WIDTH, heads=2, ffn_width=16)
    generator = torch.Generator().manual_seed(seed)
    return encoder_of(config, num_tracks, MAX_LEN, generator, heads={name: CONFIGS[name]}, counts=counts)


def head_of(name: str, counts: TrainingCounts, *, trained: bool = True) -> Head:
    """Return the head; trained: with parameters far from where they begin."""
    head = encoder_with(name, counts).heads[name]
    assert isinstance(head, Head)
    if trained:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return head


def predictions(counts: TrainingCounts, seed: int = 2) -> tuple[Predicted, Tensor]:
    """Return positions whose targets follow in training, some without target or without known feedback, and a table.

    Some targets were played before in their session.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = len(counts.plays)
    pair = counts.pairs[torch.randint(len(counts.pairs), (POSITIONS,), generator=generator)]
    pair[2::LENGTH] = pair[1::LENGTH]
    heard = torch.randint(0, 3, (POSITIONS,), generator=generator)
    target = torch.where(torch.rand(POSITIONS, generator=generator) < 0.2, 0, pair % rows)
    target[4::LENGTH] = pair[0::LENGTH] // rows
    states, table = (torch.randn(size, WIDTH, generator=generator) for size in (POSITIONS, rows))
    last, real = pair // rows, target > 0
    flags = real & (heard == 0), real & (heard == 1)
    batch = replace(batch_of(last, heard), session_side={"repeats": past_of(last, generator)})
    return Predicted(states, last, target, *flags, batch, table[last]), table


def past_of(last: Tensor, generator: torch.Generator) -> Tensor:
    """Return plays before each session: its own tracks in order, others, and of some listeners none."""
    sessions = last.view(SESSIONS, LENGTH)
    tracks = torch.cat([sessions, sessions.roll(1, 0)], 1)
    heard, minutes = torch.randint(0, 5, tracks.shape, generator=generator), torch.arange(2 * LENGTH, 0, -1) ** 6
    past = torch.stack([tracks, heard, minutes.expand_as(tracks)], 2)
    return (past * (torch.arange(SESSIONS) % 4 > 0)[:, None, None]).int()


def batch_of(tracks: Tensor, feedback: Tensor) -> Batch:
    """Return sessions of LENGTH positions."""
    offsets = torch.arange(0, len(tracks) + 1, LENGTH)
    return Batch(tracks, feedback, torch.arange(len(tracks)) % LENGTH, offsets, LENGTH)


def without_targets(predicted: Predicted) -> Predicted:
    nothing = torch.zeros_like(predicted.listened)
    return replace(predicted, target=torch.zeros_like(predicted.target), listened=nothing, skipped=nothing)


def losses(head: Head, predicted: Predicted, table: Tensor) -> list[Tensor]:
    """Return the loss of the head and that of the softmax that it is mixed into, those of them that it has."""
    result = [head.loss(predicted, table[predicted.target])] if head.has_loss else []
    mixture = head.mixture(predicted)
    if mixture is not None:
        result.append(full_softmax_loss(predicted.states, predicted.target, table, mixture, NUM_SPECIALS))
    assert result, "a head does something"
    return result


def with_gradients(head: Head, predicted: Predicted, table: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return the losses, and the gradient of their sum in parameters, states and table."""
    states, table = predicted.states.clone().requires_grad_(), table.clone().requires_grad_()
    head.zero_grad(set_to_none=True)
    values = losses(head, replace(predicted, states=states), table)
    torch.stack(values).sum().backward()
    grads = {key: value.grad for key, value in head.named_parameters()} | {"states": states.grad, "table": table.grad}
    return [value.detach() for value in values], {key: grad for key, grad in grads.items() if grad is not None}


def test_a_new_head_begins_with_what_counts_say_alone(name: str, counts: TrainingCounts) -> None:
    """Whatever the states, and however the random numbers fell."""
    head = head_of(name, counts, trained=False)
    predicted, _ = predictions(counts)
    zeros = torch.zeros(len(counts.plays), WIDTH)
    other = encoder_with(name, counts, seed=9).heads[name]
    assert isinstance(other, Head)
    expected = losses(head, predicted, zeros)
    moved = replace(predicted, states=predicted.states.flip(0) * 3 + 1)
    for each in (losses(head, moved, zeros), losses(other, predicted, zeros)):
        torch.testing.assert_close(each, expected)
    assert all(torch.isfinite(parameter).all() for parameter in head.parameters())
    for key, value in head.named_buffers():
        part, _, order = key.partition("_")
        of = counts.contexts[int(order) - 2] if order else counts
        assert torch.equal(value, getattr(of, part)), key
    assert head.check_weights()
    trained = losses(head_of(name, counts), predicted, zeros)
    assert not torch.allclose(torch.stack(trained), torch.stack(expected)), "and parameters do something"


def test_the_loss_of_no_target_is_exactly_0_with_finite_gradients(name: str, counts: TrainingCounts) -> None:
    head = head_of(name, counts)
    predicted, table = predictions(counts)
    for nothing in (without_targets(predicted), replace(without_targets(predicted), last=predicted.last * 0)):
        values, grads = with_gradients(head, nothing, table)
        assert all(value.item() == 0.0 for value in values)
        assert all((grad == 0).all() for grad in grads.values())


def test_positions_without_a_target_never_change_the_loss(name: str, counts: TrainingCounts) -> None:
    head = head_of(name, counts)
    predicted, table = predictions(counts)
    real = predicted.target > 0
    other = replace(predicted, states=torch.where(real[:, None], predicted.states, 7.0))
    assert not real.all()
    for one, two in zip(losses(head, predicted, table), losses(head, other, table), strict=True):
        torch.testing.assert_close(one, two)


def test_the_order_of_sessions_changes_no_loss_and_no_gradient(name: str, counts: TrainingCounts) -> None:
    head = head_of(name, counts)
    predicted, table = predictions(counts)
    sessions = torch.randperm(SESSIONS, generator=torch.Generator().manual_seed(4))
    order = (sessions[:, None] * LENGTH + torch.arange(LENGTH)).flatten()
    flat = [one.name for one in fields(Predicted) if one.name not in ("batch", "following")]
    values = {name: getattr(predicted, name)[order] for name in flat}
    side = {name: value[sessions] for name, value in predicted.batch.session_side.items()}
    batch = replace(batch_of(values["last"], predicted.batch.feedback[order]), session_side=side)
    turned = Predicted(**values, batch=batch)
    (values, grads), (turned_values, turned_grads) = (with_gradients(head, each, table) for each in (predicted, turned))
    torch.testing.assert_close(turned_values, values)
    turned_grads["states"] = turned_grads["states"][order.argsort()]
    assert turned_grads.keys() == grads.keys()
    for key, grad in grads.items():
        torch.testing.assert_close(turned_grads[key], grad, msg=lambda text, key=key: f"{key}: {text}")


def test_every_parameter_of_a_head_is_trained(name: str, counts: TrainingCounts) -> None:
    head = head_of(name, counts)
    _, grads = with_gradients(head, *predictions(counts))
    assert {key for key, _ in head.named_parameters()} <= grads.keys()
    assert all(torch.isfinite(grad).all() and grad.any() for grad in grads.values())


def test_rankings_read_what_validation_chose_and_training_does_not(name: str, counts: TrainingCounts) -> None:
    head = head_of(name, counts)
    predicted, table = predictions(counts)
    before = losses(head, predicted, table)
    if head.weights_type is None:
        return
    head.ranking_weights = head.weights_type(**WEIGHTS[name])
    torch.testing.assert_close(losses(head, predicted, table), before, rtol=0.0, atol=0.0)


def test_a_saved_and_loaded_head_is_the_same(tmp_path: Path, store: Store, name: str) -> None:
    """Its parameters, its counts, its losses, and the weights that validation chose."""
    config = {"copy": {}, "transitions": {"own_weight": 0.5}, "listen": {"gradient": "flow"}, "repeats": {}}[name]
    recipe = small_recipe(
        "paper-causal-s-minus", next_track__kind="mixed", training__epochs=1, **{f"heads__{name}": config}
    )
    assert recipe.heads == {name: CONFIGS[name]}
    split = split_store(store, recipe.data)
    batch = SessionData.load(store, split, "cpu").context_batch(split.cases["test"], np.arange(20), MAX_LEN)
    expected: dict[str, Any] = {}

    def look(_: Split, encoder: Encoder) -> dict[str, float]:
        head = encoder.heads[name]
        assert isinstance(head, Head)
        expected["weights"] = {key: value.clone() for key, value in head.state_dict().items()}
        expected["losses"] = losses(head, *predictions_of(store, split, encoder))
        expected["states"] = encoder.next_state(batch)
        return {"ndcg@20": 0.5}

    fit(store, tmp_path / "run", recipe, validate=look)
    RunFolder.open(tmp_path / "run").save_ranking({"listen_weight": 0.0, name: dict(WEIGHTS.get(name, {}))})
    run = load_run(tmp_path / "run")
    head = run.encoder.heads[name]
    assert isinstance(head, Head)
    assert list(run.encoder.heads) == [name]
    if head.weights_type is not None:
        assert head.ranking_weights == head.weights_type(**WEIGHTS[name])
    assert head.state_dict().keys() == expected["weights"].keys()
    for key, value in head.state_dict().items():
        assert torch.equal(value, expected["weights"][key]), key
    with torch.no_grad():  # as `fit` validates
        assert torch.equal(run.encoder.next_state(batch), expected["states"])
        after = losses(head, *predictions_of(store, split, run.encoder))
    torch.testing.assert_close(after, expected["losses"], rtol=0.0, atol=0.0)


def predictions_of(store: Store, split: Split, encoder: Encoder) -> tuple[Predicted, Tensor]:
    """Return positions to predict, and the rows of the encoder's tracks."""
    counts = training_counts(store, split)
    return predictions(counts)[0], encoder.ranked_rows()


def test_neighbours_give_their_mass_only_where_it_was_chosen(store: Store, counts: TrainingCounts) -> None:
    head = head_of("neighbours", counts)
    split = split_store(store, DataConfig(max_len=MAX_LEN))
    batch = SessionData.load(store, split, "cpu").context_batch(split.cases["test"], np.arange(20), MAX_LEN)
    states, table = torch.randn(20, WIDTH), torch.randn(len(counts.plays), WIDTH)
    assert head.mixture(predictions(counts)[0]) is None
    assert not [*head.parameters()]
    assert head.added(states, batch, table) is None, "as trained"
    head.ranking_weights = head.weights_type(**WEIGHTS["neighbours"])  # type: ignore[misc]
    added = head.added(states, batch, table)
    assert added is not None
    assert not added.in_place
    total = torch.zeros(20, dtype=torch.float64).index_add_(0, added.session, added.log_mass.exp())
    assert total.tolist() == pytest.approx([40.0] * 20)
    with head.keeping():  # type: ignore[operator]
        first, second = head.added(states, batch, table), head.added(states, batch, table)
        other = head.added(
            states,
            SessionData.load(store, split, "cpu").context_batch(split.cases["validation"], np.arange(20), MAX_LEN),
            table,
        )
    for each in (first, second):
        assert all(torch.equal(getattr(each, name), getattr(added, name)) for name in ("session", "tracks", "log_mass"))
    assert other is not None
    assert not torch.equal(other.tracks, added.tracks)


def test_neighbours_are_looked_for_once_while_they_are_kept(
    monkeypatch: pytest.MonkeyPatch, store: Store, counts: TrainingCounts
) -> None:
    head = head_of("neighbours", counts)
    assert isinstance(head, NeighboursHead)
    head.ranking_weights = head.weights_type(mass=40.0)
    cases = split_store(store, DataConfig(max_len=MAX_LEN)).cases["test"]
    data = SessionData.load(store, split_store(store, DataConfig(max_len=MAX_LEN)), "cpu")
    states, table, asked = torch.randn(20, WIDTH), torch.randn(len(counts.plays), WIDTH), list[int]()

    def count(index: Any, sessions: FlatSessions) -> Shares:
        asked.append(len(sessions))
        return neighbour_shares(index, sessions)

    def look(first: int, num: int = 20) -> Added | None:
        batch = data.context_batch(cases, np.arange(first, first + num), MAX_LEN)
        return head.added(states, batch.recent(3), table)

    monkeypatch.setattr(neighbours, "neighbour_shares", count)
    with head.keeping():
        one, same, other, fewer = look(0), look(0), look(5), look(0, 19)
        assert asked == [20, 20, 19], "another batch of the same tracks is the same; fewer of its sessions are not"
        assert one is not None and same is not None and other is not None and fewer is not None  # noqa: PT018
        assert torch.equal(one.log_mass, same.log_mass)
        monkeypatch.setattr(neighbours, "MOST_KEPT", 0)
    asked.clear()
    look(0)
    with head.keeping():
        look(0)
        look(0)
    assert asked == [20, 20, 20], "nothing is kept after its end, nor without room"


def test_saved_and_loaded_neighbours_are_the_same(tmp_path: Path, store: Store, counts: TrainingCounts) -> None:
    recipe = small_recipe("paper-cloze-s-minus", training__epochs=1, heads__neighbours=True)
    fit(store, tmp_path / "run", recipe)
    RunFolder.open(tmp_path / "run").save_ranking({"listen_weight": 0.0, "neighbours": {"mass": 40.0}})
    head = load_run(tmp_path / "run").encoder.heads["neighbours"]
    expected = training_counts(store, split_store(store, recipe.data))
    assert isinstance(head, NeighboursHead)
    assert torch.equal(head.tracks, expected.tracks)
    assert torch.equal(head.offsets, expected.offsets)
    assert head.ranking_weights.mass == 40.0
