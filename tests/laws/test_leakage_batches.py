"""Held-out rows never touch training; splits, negatives and orders keep their laws."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from segue.batches.data import SessionData
from segue.batches.example import ExampleConfig, Window
from segue.batches.log_q import Rows, causal_target_counts, cloze_target_counts, expected_draws, log_q
from segue.batches.negatives import draw_per_session, draw_shared, draw_targets
from segue.batches.order import epoch_order
from segue.batches.split import DataConfig, split_store
from segue.objectives import Negatives, combine, full_softmax_loss, sampled_softmax_loss
from segue.store import UNKNOWN, Store
from segue.training.trainer import Trainer
from support.small_models import example_of
from support.small_recipes import small_recipe
from support.stores import tiny_store

CPU = torch.device("cpu")
CAUSAL = ExampleConfig(masked=False, max_len=8, width=9, replaced_share=0.0, shifted=False)
CLOZE = ExampleConfig(masked=True, max_len=8, width=8, replaced_share=0.3, shifted=True)


def with_held_out_rows_changed(store, path):
    """Return a copy of `store` whose last two rows of each session read otherwise."""
    shutil.copytree(store.path, path)
    held_out = np.concatenate((store.offsets[1:] - 1, store.offsets[1:] - 2))
    for name, change in (("tracks", lambda x: (x + 5) % store.num_tracks + 3), ("strength", lambda x: 3 - x % 4)):
        values = np.load(path / "shard-00000" / f"{name}.npy")
        values[held_out] = change(values[held_out])
        np.save(path / "shard-00000" / f"{name}.npy", values)
    return Store(path)


def test_changed_held_out_rows_leave_training_bytes(tmp_path):
    store = tiny_store(tmp_path / "store")
    seen = []
    for each in (store, with_held_out_rows_changed(store, tmp_path / "changed")):
        split = split_store(each, DataConfig(max_len=8))
        data = SessionData.load(each, split, "cpu")
        example, cloze = (example_of(config, data, torch.Generator().manual_seed(1)) for config in (CAUSAL, CLOZE))
        window = example.window
        negatives = draw_per_session(window, torch.from_numpy(split.candidates).long(), 30, torch.Generator())
        popular = data.draw_plays((7, 9), torch.Generator())
        arrays = (split.training_counts, split.candidates, split.input_row, split.train_begin, split.train_end)
        seen.append([x.tobytes() for x in arrays])
        tensors = [window.tracks, window.feedback, window.valid, negatives, popular]
        for each in (example, cloze):
            tensors += [each.ids, each.target, each.target_feedback, each.batch.tracks, each.batch.feedback]
        seen[-1] += [x.numpy().tobytes() for x in tensors]
    assert seen[0] == seen[1]


def law_counts(store, split):
    """Return what logQ reads, of both encoders: targets of the training parts, and nothing of the rows behind them."""
    tracks, strength = np.asarray(store.tracks), np.asarray(store.strength)
    cloze = cloze_target_counts(Rows(tracks, strength, "listened"), split, 8, 0.2)
    rules = ("next", "listened", "next_listened")
    return [cloze, *(causal_target_counts(Rows(tracks, strength, rule), split, 8) for rule in rules)]


def counts_with_validation_rows(store, split):
    """Return a mutant: the validation target counted as one more training track."""
    return law_counts(store, dataclasses.replace(split, train_end=split.train_end + 1))


@pytest.mark.parametrize(("counts", "lawful"), [(law_counts, True), (counts_with_validation_rows, False)])
def test_changed_held_out_rows_leave_corrections_and_batch_draws(tmp_path, counts, lawful):
    store = tiny_store(tmp_path / "store")
    seen = []
    for each in (store, with_held_out_rows_changed(store, tmp_path / "changed")):
        split = split_store(each, DataConfig(max_len=8))
        data = SessionData.load(each, split, "cpu")
        target = example_of(CAUSAL, data, torch.Generator()).target
        drawn = draw_targets(target, 40, torch.Generator().manual_seed(1))
        arrays = [log_q(expected_draws((6, 9), len(split.candidates), times)) for times in counts(each, split)]
        seen.append([x.tobytes() for x in (*arrays, drawn.numpy())])
    assert (seen[0] == seen[1]) == lawful


def test_inputs_end_before_the_target_and_unseen_tracks_read_unknown(tmp_path):
    store = tiny_store(tmp_path / "store")
    split = split_store(store, DataConfig(max_len=8))
    data = SessionData.load(store, split, "cpu")
    cases = split.cases["test"]
    batch = data.context_batch(cases, np.arange(len(cases)), 8)
    for i in range(len(cases)):
        expected = np.asarray(store.tracks[cases.begin[i] : cases.target[i]])[-8:]
        expected = np.where(split.training_counts[expected] > 0, expected, UNKNOWN)
        assert batch.tracks[batch.offsets[i] : batch.offsets[i + 1]].tolist() == expected.tolist()
    assert (cases.target == store.offsets[cases.session + 1] - 1).all()


def test_per_session_negatives_are_uniform_outside_the_window():
    tracks = torch.tensor([[3, 9, 3, 5], [4, 12, 0, 0]])
    window = Window(torch.zeros_like(tracks), tracks, torch.zeros_like(tracks))
    candidates = torch.tensor([3, 4, 5, 6, 7, 9, 11])
    drawn = draw_per_session(window, candidates, 20_000, torch.Generator().manual_seed(0))
    for row, free in zip(drawn, ([4, 6, 7, 11], [3, 5, 6, 7, 9, 11]), strict=True):
        values, counts = row.unique(return_counts=True)
        assert values.tolist() == free
        assert counts.tolist() == pytest.approx([20_000 / len(free)] * len(free), rel=0.06)
    assert set(draw_shared(candidates, 500, torch.Generator()).tolist()) == set(candidates.tolist())


def test_popularity_draws_are_uniform_over_training_rows_and_no_others(tmp_path):
    store = tiny_store(tmp_path / "store", tracks=200)
    split = split_store(store, DataConfig(max_len=8))
    data = SessionData.load(store, split, "cpu")
    expected = np.bincount(np.asarray(store.tracks)[split.training_rows], minlength=store.num_tracks + 3)
    drawn = data.draw_plays((300, 400), torch.Generator().manual_seed(0))
    times = np.bincount(drawn.flatten().numpy(), minlength=len(expected))
    assert ((times > 0) == (expected > 0)).all(), "a held-out track that never trains is never drawn, all others are"
    share = expected / expected.sum()
    assert np.abs(times / times.sum() - share).max() < 5 * np.sqrt(share.max() / times.sum())
    alone = dataclasses.replace(data, tracks=torch.arange(len(data.tracks)))
    assert set(alone.draw_plays((20_000,), torch.Generator()).tolist()) == set(split.training_rows.tolist())


@pytest.mark.parametrize("variant", ["cross_session", "random_negatives", "random_positive"])
def test_held_out_rows_never_enter_a_variant_of_the_term(tmp_path, variant):
    """Weights after two steps keep their bytes."""
    store = tiny_store(tmp_path / "store")
    weights = []
    for each in (store, with_held_out_rows_changed(store, tmp_path / "changed")):
        recipe = small_recipe("paper-causal-s-plus-session", terms__0__variant=variant, data__vocabulary="training")
        split = split_store(each, recipe.data)
        with torch.random.fork_rng():
            trainer = Trainer(each, split, recipe, CPU, bf16=False)
            for index in trainer.begin(torch.arange(16), 2).split(8):
                trainer.step(index)
            trainer.bring_up()
        weights.append(trainer.weights().values())
    for one, other in zip(*weights, strict=True):
        assert torch.equal(one, other)


NEGATIVES = {
    "per session": ("causal", {"next_track__kind": "per_session"}),
    "per session, cloze": ("cloze", {"next_track__kind": "per_session"}),
    "shared": ("causal", {"next_track__kind": "shared"}),
    "shared, cloze": ("cloze", {"next_track__kind": "shared"}),
    "gbce": ("causal", {"next_track__kind": "gbce"}),
    "mixed": ("causal", {"next_track__kind": "mixed", "next_track__uniform": 400}),
    "mixed, by date": ("causal", {"next_track__kind": "mixed", "next_track__uniform": 400, "data__split": "temporal"}),
    "mixed, cloze": ("cloze", {"next_track__kind": "mixed", "next_track__uniform": 400}),
    "random negatives": ("causal", {"next_track__kind": "shared", "terms__0__variant": "random_negatives"}),
    "random positive": ("causal", {"next_track__kind": "shared", "terms__0__variant": "random_positive"}),
    "random positive, cloze": ("cloze", {"next_track__kind": "shared", "terms__0__variant": "random_positive"}),
}
"""Many negatives a step, so that hardly any track that may be one is left out."""


def moved_rows(path, case, vocabulary):
    """Return which tracks' table rows two steps of training move, and which tracks have a training row."""
    encoder, changes = NEGATIVES[case]
    changes = {"next_track__negatives": 400, "data__vocabulary": vocabulary} | changes
    recipe = small_recipe(f"paper-{encoder}-s-plus-track", **changes)
    store = tiny_store(path, tracks=200, sessions=40)
    split = split_store(store, recipe.data)
    with torch.random.fork_rng():
        trainer = Trainer(store, split, recipe, CPU, bf16=False)
        before = trainer.weights()["table.weight"]
        order = torch.arange(len(trainer.data.train_begin))
        for index in trainer.begin(order, 2).tensor_split(2):
            trainer.step(index)
        trainer.bring_up()
    moved = (trainer.weights()["table.weight"] != before).any(dim=1).numpy()
    trained, elsewhere = np.zeros((2, len(moved)), np.bool_)
    for session in range(store.num_sessions):
        tracks = np.asarray(store.tracks[store.offsets[session] : store.offsets[session + 1]])
        num = len(tracks) - 2
        if recipe.data.split == "temporal":
            dates = np.asarray(store.side("date"))
            num = len(tracks) if dates[session] < dates[split.cases["validation"].session].min() else 0
        trained[tracks[:num]] = elsewhere[tracks[num:]] = True
    assert (elsewhere & ~trained).sum() > 5, "tracks that only held-out rows have"
    return moved[3:], trained[3:]


@pytest.mark.parametrize("case", NEGATIVES)
def test_a_track_without_a_training_row_is_never_a_negative(tmp_path, case):
    """A row that is read, predicted or compared with moves; one that none of it happens to keeps its bytes."""
    moved, trained = moved_rows(tmp_path / "store", case, "training")
    assert not moved[~trained].any()
    assert moved[trained].mean() > 0.9, "those that may be drawn are"


@pytest.mark.parametrize("case", ["per session", "shared", "mixed"])
def test_a_transductive_vocabulary_draws_tracks_of_held_out_rows_too(tmp_path, case):
    """So the test above would notice one."""
    moved, trained = moved_rows(tmp_path / "store", case, "transductive")
    assert moved[~trained].sum() > 5


def test_a_track_that_only_its_features_serve_is_never_drawn(tmp_path):
    store = tiny_store(tmp_path / "store", tracks=200, rich=True)
    recipe = small_recipe(next_track__kind="shared", inputs__features=True, data__vocabulary="features")
    split = split_store(store, recipe.data)
    with torch.random.fork_rng():
        trainer = Trainer(store, split, recipe, CPU, bf16=False)
    served = set(split.candidates.tolist()) - set(np.flatnonzero(split.training_counts).tolist())
    assert served
    assert not served & set(trainer._step.training.candidates.tolist())


def test_processes_share_an_epoch_out():
    parts = [epoch_order(23, 1, 4, rank, 3) for rank in range(3)]
    assert sorted(np.concatenate(parts)) == list(range(23))
    assert not np.array_equal(epoch_order(23, 1, 4), epoch_order(23, 1, 5))


def test_sampled_softmax_equals_a_naive_loop():
    generator = torch.Generator().manual_seed(0)
    states, own, rows = (torch.randn(num, 4, generator=generator) for num in (6, 6, 5))
    target, tracks = torch.tensor([3, 4, 0, 5, 0, 3]), torch.tensor([4, 3, 9, 3, 8])
    losses = []
    for i in target.nonzero().flatten().tolist():
        others = [states[i] @ rows[m] for m in range(5) if tracks[m] != target[i]]
        losses.append(-torch.stack([states[i] @ own[i], *others]).log_softmax(0)[0])
    negatives = Negatives(rows, tracks)
    result = sampled_softmax_loss(states, target, own, negatives)
    torch.testing.assert_close(result, torch.stack(losses).mean())
    assert sampled_softmax_loss(states, target * 0, own, negatives).item() == 0.0
    assert full_softmax_loss(states, target * 0, rows).item() == 0.0
    assert combine({"a": (1.0, result), "b": (3.0, result * 0)}).item() == pytest.approx(result.item() / 4)


@pytest.mark.parametrize("bad", [{"max_len": 1}, {"sample_sessions": -1}, {"skip_at_least": 4}])
def test_bad_data_settings_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DataConfig(**bad)
