"""The contrastive part of a training step equals a naive loop over sessions, anchors and skips."""

from __future__ import annotations

import itertools

import pytest
import torch

from segue.batches.packed import PackShape, pack_causal
from segue.batches.split import split_store
from segue.objectives.roles import roles
from segue.training.cpu_step import CpuStep
from segue.training.loss import loss_parts, make_example, part_names, total
from segue.training.next_track import draw_negatives
from segue.training.terms import packed_terms
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store

AT_LEAST = [1, 2, 3]


def naive_roles(window, at_least):
    """Return (session, anchor, positive, negatives) of every anchor, by the words of the method.

    Strengths below `at_least` are listened, from it to 3 skipped; unknown is neither.
    """
    found = []
    for b in range(len(window.tracks)):
        length = int(window.valid[b].sum())
        tracks, strength = window.tracks[b, :length].tolist(), window.strength[b, :length].tolist()
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
        c = table[tracks[i]] if context == "track" else states[b, i]
        near = [torch.cosine_similarity(table[tracks[j]], c, dim=0) / temperature for j in (p, *negatives)]
        losses.append(torch.logsumexp(torch.stack(near), 0) - near[0])
    return torch.stack(losses).mean()


def made(path, name, at_least, *, plain=False, **changes):
    recipe = small_recipe(name, encoder__dropout=0.0, data__skip_at_least=at_least, **changes)
    store = tiny_store(path)
    with torch.random.fork_rng():
        return Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False, plain=plain)


@pytest.mark.parametrize("at_least", AT_LEAST)
@pytest.mark.parametrize("kind", ["causal", "cloze"])
@pytest.mark.parametrize("context", ["track", "session"])
def test_the_term_in_training_equals_the_naive_loop(tmp_path, kind, context, at_least):
    """Forward and backward, whatever counts as a skip."""
    trainer = made(tmp_path / "store", f"paper-{kind}-s-plus-{context}", at_least)
    recipe, encoder = trainer.recipe, trainer.encoder.eval()
    window = trainer.data.training_window(
        torch.arange(trainer.data.num_training), recipe.data.max_len + (kind == "causal")
    )
    example = make_example(encoder, recipe, window, _generator())
    negatives = draw_negatives(recipe, window, trainer.candidates, _generator())
    parts = loss_parts(encoder, recipe, window, example, negatives, False)
    expected = naive(encoder(example.batch), encoder.table.weight, window, at_least, 0.1, context)
    assert parts["skip_contrastive"][1].item() == pytest.approx(expected.item(), rel=1e-4)
    weight = encoder.table.weight
    found, wanted = (torch.autograd.grad(loss, weight)[0] for loss in (parts["skip_contrastive"][1], expected))
    torch.testing.assert_close(found.to_dense(), wanted.to_dense(), rtol=1e-3, atol=1e-5)
    assert list(parts) == part_names(recipe)
    mean = sum(weight * loss.item() for weight, loss in parts.values()) / 1.0
    assert total(parts).item() == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("at_least", AT_LEAST)
def test_packed_sessions_have_the_roles_of_the_naive_loop(tmp_path, at_least):
    trainer = made(tmp_path / "store", "paper-causal-s-plus-track", at_least)
    width, index = trainer.recipe.data.max_len + 1, torch.arange(trainer.data.num_training)
    packing = pack_causal(trainer.data, index, PackShape(width, width * len(index), width - 1), None)
    _, (sessions,) = packed_terms(trainer.recipe, packing, {})
    chosen, found = roles(sessions.heard), []
    for b, i in chosen.anchor.nonzero().tolist():
        found.append((b, i, int(chosen.positive[b, i]), chosen.negative[b, 0].nonzero()[:, 0].tolist()))
    assert found == naive_roles(trainer.data.training_window(index, width), at_least)
    assert found


@pytest.mark.parametrize("at_least", [1, 3])
@pytest.mark.parametrize(
    "name", ["paper-causal-s-plus-track", "paper-causal-s-plus-session", "paper-cloze-s-plus-track"]
)
def test_both_steps_train_the_term_alike_whatever_counts_as_a_skip(tmp_path, name, at_least):
    trained = []
    for plain in (True, False):
        trainer = made(tmp_path / str(plain), name, at_least, plain=plain, next_track__kind="shared")
        with torch.random.fork_rng():
            for index in trainer.begin(torch.arange(trainer.data.num_training), 2).tensor_split(2):
                trainer.step(index)
        trainer.settle()
        assert isinstance(trainer._fast, CpuStep) == (not plain)
        trained.append(trainer)
    torch.testing.assert_close(trained[1].sums, trained[0].sums, rtol=1e-5, atol=1e-6)
    weights = [trainer.weights() for trainer in trained]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=2e-5)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
