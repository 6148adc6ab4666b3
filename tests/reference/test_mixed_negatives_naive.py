"""Mixed and corrected negatives: loss and gradients equal a naive loop, draws come as often as the correction says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from segue.batches.log_q import Rows, causal_target_counts, cloze_target_counts, expected_draws
from segue.batches.negatives import draw_targets
from segue.batches.split import split_store
from segue.losses import Mixed
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store

MIXED = {"next_track__kind": "mixed", "next_track__uniform": 9, "next_track__batch": 14}
KINDS = {
    "mixed": MIXED,
    "mixed, uncorrected": MIXED | {"next_track__log_q": False},
    "shared + logQ": {"next_track__kind": "shared", "next_track__negatives": 20, "next_track__log_q": True},
}
ENCODERS = ["causal", "cloze"]
SHARE = 0.4


def made(path, encoder, kind="mixed", **changes):
    if encoder == "cloze":
        changes["encoder__mask_share"] = SHARE
    recipe = small_recipe(f"paper-{encoder}-s-minus", encoder__dropout=0.0, **(KINDS[kind] | changes))
    store = tiny_store(path, tracks=15)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    return store, trainer


def naive_counts(store, split, max_len, share):
    """How often each track is a target of an epoch, session after session, by the words of the method.

    `share` None: causal. Sessions with one training track have no loss, and so no target.
    """
    counts = Counter()
    for session in split.sessions:
        heard = [int(t) for t in store.tracks[store.offsets[session] : store.offsets[session + 1]]][:-2]
        if len(heard) < 2:
            continue
        window = heard[-(max_len + 1) :] if share is None else heard[-max_len:]
        for i, track in enumerate(window):
            if share is None:
                counts[track] += i > 0
            else:
                counts[track] += 1.0 if i == len(window) - 1 else share
    return counts


@pytest.mark.parametrize("max_len", [3, 8])
def test_target_counts_are_those_of_a_loop_over_sessions(tmp_path, max_len):
    store, trainer = made(tmp_path / "store", "causal")
    split = split_store(store, trainer.recipe.data)
    rows = Rows(np.asarray(store.tracks), np.asarray(store.strength))
    causal = causal_target_counts(rows, split, max_len)
    cloze = cloze_target_counts(rows, split, max_len, SHARE)
    for found, share in ((causal, None), (cloze, SHARE)):
        wanted = naive_counts(store, split, max_len, share)
        assert found.shape == (store.num_tracks + 3,)
        np.testing.assert_allclose(found, [wanted[row] for row in range(len(found))])
        plays = split.training_counts / split.training_counts.sum()
        assert not np.allclose(found / found.sum(), plays), "plays are another distribution"


def candidates_of(trainer):
    return trainer._step.training.candidates


def log_q_of(trainer):
    return trainer._step.training.log_q


def batch_of(trainer, seed=5):
    """Return what is drawn for one batch of all sessions."""
    index = torch.arange(len(trainer.data.train_begin))
    trainer.generator.manual_seed(seed)
    return trainer._step.draw(index, len(index) * 8)


def naive_loss(trainer, example, ids, counts, mutant=""):
    """Mean over targets of -log softmax, a negative at a time; `counts` None = no correction."""
    config, table, states = trainer.recipe.next_track, trainer.encoder.table.weight, trainer.encoder(example.batch)
    uniform, batch = (config.uniform, config.batch) if isinstance(config, Mixed) else (config.negatives, 0)
    whole = sum(counts.values()) if counts else 1

    def correction(track):
        if counts is None:
            return 0.0
        return -math.log(uniform / len(candidates_of(trainer)) + batch * counts[track] / whole)

    losses = []
    for i in example.target.nonzero()[:, 0].tolist():
        target = int(example.target[i])
        own = states[i] @ table[target] + (correction(target) if mutant == "own score corrected" else 0.0)
        scores = [own]
        for track in ids.tolist():
            if track == target and mutant != "copies unmasked":
                continue
            sign = -1 if mutant == "correction's sign" else 1
            scores.append(states[i] @ table[track] + sign * correction(track))
        losses.append(torch.logsumexp(torch.stack(scores), 0) - own)
    return torch.stack(losses).mean()


def naive_of(trainer, store, kind):
    if kind == "mixed, uncorrected":
        return None
    share = SHARE if trainer.encoder.masked else None
    return naive_counts(store, split_store(store, trainer.recipe.data), trainer.recipe.data.max_len, share)


def loss_of(trainer, drawn):
    table = trainer.encoder.table.weight
    step, states = trainer._step, trainer.encoder(drawn.example.batch)
    ids, sizes = step.row_ids(drawn)
    scene = step.loss_inputs(drawn, states, step.rows_by_use(drawn, ids, sizes, table[ids]))
    return trainer.recipe.next_track.mean_loss(scene)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_equal_a_naive_loop(tmp_path, encoder, kind):
    store, trainer = made(tmp_path / "store", encoder, kind)
    with torch.no_grad():
        trainer.encoder.table.weight.mul_(30)  # scores far enough apart to tell
    drawn = batch_of(trainer)
    assert len(set(drawn.negatives.tolist())) < len(drawn.negatives), "duplicates are kept"
    found = []
    for loss in (
        loss_of(trainer, drawn),
        naive_loss(trainer, drawn.example, drawn.negatives, naive_of(trainer, store, kind)),
    ):
        trainer.encoder.zero_grad(set_to_none=True)
        loss.backward()
        grads = [p.grad.to_dense() for p in trainer.encoder.parameters() if p.grad is not None]
        found.append([loss.detach(), *grads])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("mutant", ["own score corrected", "copies unmasked", "correction's sign", "counts of plays"])
def test_the_comparison_rejects_the_mutant(tmp_path, encoder, mutant):
    store, trainer = made(tmp_path / "store", encoder)
    drawn = batch_of(trainer)
    counts = naive_of(trainer, store, "mixed")
    if mutant == "counts of plays":
        plays = split_store(store, trainer.recipe.data).training_counts
        counts = Counter({row: float(plays[row]) for row in range(len(plays))})
    right = float(loss_of(trainer, drawn).detach())
    wrong = float(naive_loss(trainer, drawn.example, drawn.negatives, counts, mutant).detach())
    assert abs(wrong - right) > 1e-3


@pytest.mark.parametrize("encoder", ENCODERS)
def test_negatives_come_as_often_as_the_correction_says(tmp_path, encoder):
    """Over many batches of all sessions, each track's share lies within four standard errors of U/V + R c/sum c."""
    _, trainer = made(tmp_path / "store", encoder, next_track__uniform=300, next_track__batch=700)
    turns, seen = 300, torch.zeros(len(log_q_of(trainer)))
    for seed in range(turns):
        seen += torch.bincount(batch_of(trainer, seed).negatives, minlength=len(seen))
    expected = torch.exp(-log_q_of(trainer).double())
    assert not seen[:3].any(), "specials are never drawn"
    assert set(seen.nonzero()[:, 0].tolist()) <= set(candidates_of(trainer).tolist())
    assert expected[candidates_of(trainer)].sum().item() == pytest.approx(1000, rel=1e-5)
    # masks are drawn anew each time, and move the share of the batch's draws a little beside the draws themselves
    spread = 4 * (expected / turns).sqrt() * (2.0 if encoder == "cloze" else 1.0)
    assert ((seen / turns - expected).abs()[candidates_of(trainer)] < spread[candidates_of(trainer)]).all()
    uniform = 1000 / len(candidates_of(trainer))
    assert ((seen / turns - uniform).abs()[candidates_of(trainer)] > spread[candidates_of(trainer)]).any(), (
        "and not uniformly"
    )


def test_uniform_draws_are_corrected_by_one_number(tmp_path):
    _, trainer = made(tmp_path / "store", "causal", "shared + logQ")
    torch.testing.assert_close(
        log_q_of(trainer),
        torch.full_like(log_q_of(trainer), -math.log(20 / len(candidates_of(trainer)))),
    )
    counts = np.array([0.0, 0.0, 0.0, 1.0, 3.0])
    np.testing.assert_allclose(expected_draws((10, 8), 2, counts), [5, 5, 5, 7, 11])


def test_targets_are_drawn_by_their_number_whatever_lies_between_them():
    generator = torch.Generator()
    target = torch.tensor([0, 4, 0, 0, 7, 7, 9, 0])
    drawn = draw_targets(target, 20_000, generator.manual_seed(1))
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [4, 7, 9]
    assert (counts / 20_000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    close = draw_targets(target[target > 0], 20_000, generator.manual_seed(1))
    assert torch.equal(drawn, close)
    with_more = draw_targets(torch.nn.functional.pad(target, (3, 5)), 20_000, generator.manual_seed(1))
    assert torch.equal(drawn, with_more)
    assert draw_targets(torch.zeros(4, dtype=torch.int32), 3, generator).tolist() == [0, 0, 0]
