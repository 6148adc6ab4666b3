"""Other uses of negatives: which tracks are targets, how skipped ones count, what they are compared with, by a loop."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from segue.training.loss import loss_parts, make_example
from segue.training.next_track import draw_negatives, with_targets

from segue.batches.split import split_store
from segue.errors import InputError
from segue.recipes import load_recipe
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store

MIXED = {"next_track__kind": "mixed", "next_track__uniform": 9, "next_track__batch": 14}
SHARED = {"next_track__kind": "shared", "next_track__negatives": 20}
FULL = {"next_track__kind": "full"}
PER_SESSION = {"next_track__kind": "per_session", "next_track__negatives": 6}
AVOID, LISTENED = {"next_track__skipped": "avoid"}, {"next_track__targets": "listened"}
LATER, OWN = {"next_track__targets": "next_listened"}, {"next_track__own_skips": True}
LIGHT = {"next_track__skipped_weight": 0.25}
GBCE = {"next_track__loss": "gbce", "next_track__negatives": 7}
CASES = {
    "listened, mixed": ("causal", MIXED | LISTENED),
    "listened, full": ("causal", FULL | LISTENED),
    "listened, cloze": ("cloze", MIXED | LISTENED),
    "next listened, mixed": ("causal", MIXED | LATER),
    "next listened, per session": ("causal", PER_SESSION | LATER),
    "avoid, mixed": ("causal", MIXED | AVOID),
    "avoid, full": ("causal", FULL | AVOID),
    "avoid, cloze": ("cloze", SHARED | AVOID | LIGHT),
    "light, shared": ("causal", SHARED | LIGHT),
    "own skips, mixed": ("causal", MIXED | OWN),
    "own skips, per session": ("causal", PER_SESSION | OWN | LIGHT),
    "own skips, cloze": ("cloze", SHARED | OWN),
    "gbce": ("causal", SHARED | GBCE),
    "gbce, own skips": ("causal", SHARED | GBCE | OWN | {"next_track__gbce_t": 0.3}),
    **{
        f"{name}, skips from {at_least}": (encoder, changes | {"data__skip_at_least": at_least})
        for at_least in (1, 3)
        for name, encoder, changes in (
            ("listened, mixed", "causal", MIXED | LISTENED),
            ("listened, cloze", "cloze", MIXED | LISTENED),
            ("next listened, mixed", "causal", MIXED | LATER),
            ("avoid, mixed", "causal", MIXED | AVOID),
            ("light, shared", "causal", SHARED | LIGHT),
            ("own skips, mixed", "causal", MIXED | OWN),
        )
    },
}


def made(path, case):
    encoder, changes = CASES[case]
    recipe = small_recipe(f"paper-{encoder}-s-minus", encoder__dropout=0.0, **changes)
    store = tiny_store(path, tracks=15)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    assert (trainer._fast is None) != case.startswith("listened, ")
    with torch.no_grad():
        trainer.encoder.table.weight.mul_(30)  # scores far enough apart to tell
    generator, index = torch.Generator().manual_seed(5), torch.arange(trainer.data.num_training)
    window = trainer.data.training_window(index, recipe.data.max_len + (not trainer.encoder.masked))
    drawn = draw_negatives(recipe, window, trainer.candidates, generator)
    example = make_example(trainer.encoder, recipe, window, generator)
    drawn = with_targets(recipe, drawn, example, window, generator)
    if trainer.log_q is not None:
        drawn = type(drawn)(drawn.ids, trainer.log_q[drawn.ids])
    return store, trainer, window, example, drawn


def least(trainer):
    """Return the smallest strength that counts as a skip."""
    return trainer.recipe.data.skip_at_least


def wanted(trainer, window, example):
    """Return (session, position, target, skipped) by the words of the config, session after session."""
    rule, masked, at_least = trainer.recipe.next_track.targets, trainer.encoder.masked, least(trainer)
    for b in range(len(window.tracks)):
        tracks = window.tracks[b][window.valid[b]].tolist()
        strength = window.strength[b][window.valid[b]].tolist()
        for i in range(len(tracks) if masked else len(tracks) - 1):
            if masked and not example.targets[b, i]:
                continue
            j = i if masked else i + 1
            if rule == "next_listened":
                later = [k for k in range(i + 1, len(tracks)) if strength[k] < at_least]
                if not later:
                    continue
                j = later[0]
            skipped = at_least <= strength[j] <= 3
            if rule == "listened" and skipped:
                continue
            yield b, i, tracks[j], skipped


def own_skips(window, b, at_least):
    """Return the tracks skipped in a session and never listened to there, each as often as it was skipped."""
    tracks, strength = window.tracks[b][window.valid[b]].tolist(), window.strength[b][window.valid[b]].tolist()
    listened = {t for t, s in zip(tracks, strength, strict=True) if s < at_least}
    return [t for t, s in zip(tracks, strength, strict=True) if at_least <= s <= 3 and t not in listened]


def expected(trainer, store):
    """Return how often a step is expected to draw each track, where the loss corrects for it."""
    config = trainer.recipe.next_track
    if trainer.log_q is None:
        return None
    counts, split, masked = Counter(), split_store(store, trainer.recipe.data), trainer.encoder.masked
    length = trainer.recipe.data.max_len + (not masked)
    for begin, end in zip(split.train_begin, split.train_end, strict=True):
        rows = range(max(int(begin), int(end) - length), int(end))
        for place, row in enumerate(rows):
            chosen = row if place or masked else None
            share = 1.0 if not masked or row == end - 1 else trainer.recipe.encoder.mask_share
            if config.targets == "next_listened":
                later = [r for r in rows if r > row and store.strength[r] < least(trainer)]
                chosen = later[0] if later and row < end - 1 else None
            if chosen is None:
                continue
            if config.targets != "listened" or not least(trainer) <= store.strength[chosen] <= 3:
                counts[int(store.tracks[chosen])] += share
    whole = sum(counts.values())
    return {t: config.uniform / len(trainer.candidates) + config.batch * counts[t] / whole for t in range(99)}


def naive(trainer, store, window, example, drawn):
    config, table, states = trainer.recipe.next_track, trainer.encoder.table.weight, trainer.encoder(example.batch)
    draws, losses, weights = expected(trainer, store), [], []
    for b, i, target, skipped in wanted(trainer, window, example):
        state, own = states[b, i], states[b, i] @ table[target]
        ids = drawn.ids[b].tolist() if drawn.ids.dim() == 2 else drawn.ids.tolist()
        ids = range(3, len(table)) if trainer.recipe.to_tables()["next_track"]["kind"] == "full" else ids
        others = [state @ table[t] - (math.log(draws[t]) if draws else 0.0) for t in ids if t != target]
        num = len(list(ids))
        if config.own_skips:
            more = own_skips(window, b, least(trainer))
            others += [state @ table[t] for t in more if t != target]
            num += window.tracks.shape[1]
        weights.append(config.skipped_weight if skipped else 1.0)
        if getattr(config, "loss", "softmax") == "gbce":
            alpha = config.negatives / (trainer.encoder.num_tracks - 1)
            beta = alpha * (config.gbce_t * (1 - 1 / alpha) + 1 / alpha)
            likely = beta * torch.sigmoid(own).log() + sum((1 - torch.sigmoid(score)).log() for score in others)
            losses.append(-likely)
            continue
        rest = torch.logsumexp(torch.stack(others), 0)
        p = torch.exp(own) / (torch.exp(own) + torch.exp(rest))
        losses.append(-torch.log(1 - p) if config.skipped == "avoid" and skipped else -torch.log(p))
    weight = torch.tensor(weights)
    return (torch.stack(losses) * weight).sum() / weight.sum()


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_a_naive_loop(tmp_path, case):
    store, trainer, window, example, drawn = made(tmp_path / "store", case)
    found = []
    for loss in (
        loss_parts(trainer.encoder, trainer.recipe, window, example, drawn, False)["next_track"][1],
        naive(trainer, store, window, example, drawn),
    ):
        trainer.encoder.zero_grad(set_to_none=True)
        loss.backward()
        grads = [p.grad.to_dense() for p in trainer.encoder.parameters() if p.grad is not None]
        found.append([loss.detach(), *grads])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=2e-6)


def test_each_option_makes_another_loss(tmp_path):
    values = {}
    for case in (case for case in CASES if "skips from" not in case):
        _, trainer, window, example, drawn = made(tmp_path / case.replace(" ", "-"), case)
        loss = loss_parts(trainer.encoder, trainer.recipe, window, example, drawn, False)["next_track"][1]
        values[case] = round(loss.item(), 6)
    assert len(set(values.values())) == len(values), values


def test_what_cannot_go_together_is_refused():
    for changes, said in (
        ({"next_track.kind": "full", "next_track.own_skips": True}, "adds nothing"),
        ({"next_track.kind": "shared", "next_track.loss": "gbce", "next_track.log_q": True}, "corrects the sampling"),
        ({"next_track.kind": "shared", "next_track.loss": "gbce", "features": True}, "set features = false"),
        ({"next_track.targets": "listened", "next_track.skipped": "avoid"}, "targets must be 'next'"),
        ({"next_track.skipped_weight": 0.0}, "leaves skipped targets out"),
        (
            {"next_track.kind": "mixed", "heads.transitions": True, "next_track.skipped": "avoid"},
            "what followed right after",
        ),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", changes)
    with pytest.raises(InputError, match="use 'listened'"):
        load_recipe("paper-cloze-s-minus", {"next_track.targets": "next_listened"})
