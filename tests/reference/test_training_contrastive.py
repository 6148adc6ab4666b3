"""The contrastive part of a training step equals a naive loop over sessions, anchors and skips."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from segue.batches.split import split_store
from segue.objectives.roles import roles
from segue.training.step import TrainingStep
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store

AT_LEAST = [1, 2, 3]


def naive_roles(window, at_least):
    """Return (session, anchor, positive, negatives) of every anchor, by the words of the method.

    Strengths below `at_least` are listened, from it to 3 skipped; unknown is neither.
    """
    found = []
    for b in range(len(window.tracks)):
        length = int(window.valid[b].sum())
        tracks, strength = window.tracks[b, :length].tolist(), window.feedback[b, :length].tolist()
        listened = [i for i in range(length) if strength[i] < at_least]
        heard = {tracks[i] for i in listened}
        negatives = [i for i in range(length) if at_least <= strength[i] <= 3 and tracks[i] not in heard]
        found += [(b, i, p, negatives) for i, p in itertools.pairwise(listened) if negatives]
    return found


def naive(states, table, window, at_least, temperature, context):
    """Mean over anchors."""
    losses = []
    for b, i, p, negatives in naive_roles(window, at_least):
        tracks = window.tracks[b].tolist()
        c = table[tracks[i]] if context == "track" else states[b][i]
        near = [torch.cosine_similarity(table[tracks[j]], c, dim=0) / temperature for j in (p, *negatives)]
        losses.append(torch.logsumexp(torch.stack(near), 0) - near[0])
    return torch.stack(losses).mean()


def made(path, name: str, at_least: int) -> tuple[TrainingStep, Any]:
    """Return the step and one batch of all sessions."""
    recipe = small_recipe(name, encoder__dropout=0.0, data__skip_at_least=at_least)
    store = tiny_store(path)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    num = len(trainer.data.train_begin)
    return trainer._step, trainer._step.draw(torch.arange(num), num * 8)


@pytest.mark.parametrize("at_least", AT_LEAST)
@pytest.mark.parametrize("kind", ["causal", "cloze"])
@pytest.mark.parametrize("context", ["track", "session"])
def test_the_term_in_training_equals_the_naive_loop(tmp_path, kind, context, at_least):
    """Forward and backward, whatever counts as a skip."""
    step, drawn = made(tmp_path / "store", f"paper-{kind}-s-plus-{context}", at_least)
    encoder, batch = step.encoder, drawn.example.batch
    weight = encoder.table.weight
    states = encoder(batch)
    padded = [states[int(batch.offsets[b]) : int(batch.offsets[b + 1])] for b in range(batch.num_sessions)]
    expected = naive(padded, weight, drawn.example.window, at_least, 0.1, context)
    ids, sizes = step.row_ids(drawn)
    scene = step.loss_inputs(drawn, states, step.rows_by_use(drawn, ids, sizes, weight[ids]))
    (term,) = step.training.recipe.terms
    loss = term.mean_loss(scene, drawn.terms[0], None)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    mine, wanted = (torch.autograd.grad(each, weight, retain_graph=True)[0] for each in (loss, expected))
    torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at_least", AT_LEAST)
def test_windows_have_the_roles_of_the_naive_loop(tmp_path, at_least):
    step, drawn = made(tmp_path / "store", "paper-causal-s-plus-track", at_least)
    ids, sizes = step.row_ids(drawn)
    rows = step.rows_by_use(drawn, ids, sizes, torch.zeros(len(ids), 16))
    scene = step.loss_inputs(drawn, torch.zeros(len(drawn.example.target), 16), rows)
    chosen, result = roles(scene.heard), []
    for b, i in chosen.anchor.nonzero().tolist():
        result.append((b, i, int(chosen.positive[b, i]), chosen.negative[b, 0].nonzero()[:, 0].tolist()))
    assert result == naive_roles(drawn.example.window, at_least)
    assert result
