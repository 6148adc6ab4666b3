"""The contrastive part of a training step equals a naive loop over sessions, anchors and skips."""

from __future__ import annotations

import math

import pytest
import torch

from segue.batches.split import split_store
from segue.training.loss import loss_parts, make_example, part_names, total
from segue.training.next_track import draw_negatives
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store


def naive(states, table, window, temperature, context):
    """Mean over anchors, by the words of the method; strengths 0, 1 listened, 2, 3 skipped."""
    losses = []
    for b in range(len(window.tracks)):
        length = int(window.valid[b].sum())
        tracks, strength = window.tracks[b, :length].tolist(), window.strength[b, :length].tolist()
        heard = {t for t, s in zip(tracks, strength, strict=True) if s < 2}
        negatives = [t for t, s in zip(tracks, strength, strict=True) if s in (2, 3) and t not in heard]
        listened = [i for i in range(length) if strength[i] < 2]
        for k, i in enumerate(listened[:-1] if negatives else []):
            c = table[tracks[i]] if context == "track" else states[b, i]
            own = math.exp(float(torch.cosine_similarity(table[tracks[listened[k + 1]]], c, dim=0)) / temperature)
            other = sum(math.exp(float(torch.cosine_similarity(table[n], c, dim=0)) / temperature) for n in negatives)
            losses.append(-math.log(own / (own + other)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("kind", ["causal", "cloze"])
@pytest.mark.parametrize("context", ["track", "session"])
def test_the_term_in_training_equals_the_naive_loop(tmp_path, kind, context):
    recipe = small_recipe(f"paper-{kind}-s-plus-{context}", encoder__dropout=0.0)
    store = tiny_store(tmp_path / "store")
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
        trainer.encoder.eval()
        index = torch.arange(trainer.data.num_training)
        window = trainer.data.training_window(index, recipe.data.max_len + (kind == "causal"))
        example = make_example(trainer.encoder, recipe, window, _generator())
        states = trainer.encoder(example.batch)
        negatives = draw_negatives(recipe, window, trainer.candidates, _generator())
        parts = loss_parts(trainer.encoder, recipe, window, example, negatives, False)
    table = trainer.encoder.table.weight.detach().double()
    expected = naive(states.detach().double(), table, window, 0.1, context)
    assert parts["skip_contrastive"][1].item() == pytest.approx(expected, rel=1e-4)
    assert list(parts) == part_names(recipe)
    mean = sum(weight * loss.item() for weight, loss in parts.values()) / 1.0
    assert total(parts).item() == pytest.approx(mean, rel=1e-6)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
