"""Other uses of negatives: which tracks are targets, how skipped ones count, what they are compared with, by a loop."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from segue.batches.split import split_store
from segue.errors import InputError
from segue.losses import Gbce
from segue.losses.next_track import GBCE_T
from segue.recipes import load_recipe
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store

MIXED = {"next_track__kind": "mixed", "next_track__uniform": 9, "next_track__batch": 14}
SHARED = {"next_track__kind": "shared", "next_track__negatives": 20}
FULL = {"next_track__kind": "full"}
PER_SESSION = {"next_track__kind": "per_session", "next_track__negatives": 6}
AVOID, LISTENED = {"next_track__targets": "avoid_skipped"}, {"next_track__targets": "listened"}
LATER, OWN = {"next_track__targets": "next_listened"}, {"next_track__own_skips": True}
LIGHT = {"next_track__skipped_weight": 0.25}
GBCE = {"next_track__kind": "gbce", "next_track__negatives": 7}
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
    "gbce": ("causal", GBCE),
    "gbce, light": ("causal", GBCE | LIGHT),
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
    """Return a store, a trainer, and a batch of all training sessions with all that was drawn for it."""
    encoder, changes = CASES[case]
    recipe = small_recipe(f"paper-{encoder}-s-minus", encoder__dropout=0.0, **changes)
    store = tiny_store(path, tracks=15)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    with torch.no_grad():
        trainer.encoder.table.weight.mul_(30)  # scores far enough apart to tell
    index = torch.arange(len(trainer.data.train_begin))
    lengths = (trainer.data.train_end - trainer.data.train_begin).clamp(max=trainer._step.examples.width)
    num_positions = int(lengths.sum()) - (0 if trainer.encoder.masked else len(index)) + 5
    return store, trainer, trainer._step.draw(index, num_positions)


def loss_of(trainer, drawn):
    """Return the next-track loss of a step on a batch."""
    step = trainer._step
    ids, sizes = step.row_ids(drawn)
    rows = step.rows_by_use(drawn, ids, sizes, trainer.encoder.table.weight[ids])
    _, losses = step.compare(drawn, rows, step.encode(drawn, rows.encoder))
    return losses[0]


def least(trainer):
    """Return the smallest strength that counts as a skip."""
    return trainer.recipe.data.skip_at_least


def targets_of(trainer, example):
    """Return (session, position, target, skipped) by the words of the config, session after session."""
    rule, masked, at_least, window = (
        trainer.recipe.next_track.targets,
        trainer.encoder.masked,
        least(trainer),
        example.window,
    )
    for b in range(len(window.tracks)):
        tracks, strength = heard(window, b)
        begin = int(example.batch.offsets[b])
        for i in range(len(tracks) if masked else len(tracks) - 1):
            if masked and not example.replaced[begin + i]:
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
            yield b, begin + i, tracks[j], skipped


def heard(window, b):
    """Return the tracks of a session and how they were heard."""
    real = window.tracks[b] > 0
    return window.tracks[b][real].tolist(), window.feedback[b][real].tolist()


def own_skips(window, b, at_least):
    """Return the tracks skipped in a session and never listened to there, each as often as it was skipped."""
    tracks, strength = heard(window, b)
    listened = {t for t, s in zip(tracks, strength, strict=True) if s < at_least}
    return [t for t, s in zip(tracks, strength, strict=True) if at_least <= s <= 3 and t not in listened]


def expected(trainer, store):
    """Return how often a step is expected to draw each track, where the loss corrects for it."""
    config = trainer.recipe.next_track
    if not getattr(config, "log_q", False):
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
    return {
        t: config.uniform / len(trainer._step.training.candidates) + config.batch * counts[t] / whole for t in range(99)
    }


def naive(trainer, store, drawn):
    example = drawn.example
    config, table, states = trainer.recipe.next_track, trainer.encoder.table.weight, trainer.encoder(example.batch)
    draws, losses, weights = expected(trainer, store), [], []
    for b, i, target, skipped in targets_of(trainer, example):
        state, own = states[i], states[i] @ table[target]
        ids = drawn.negatives[b].tolist() if drawn.negatives.dim() == 2 else drawn.negatives.tolist()
        ids = range(3, len(table)) if trainer.recipe.to_tables()["next_track"]["kind"] == "full" else ids
        others = [state @ table[t] - (math.log(draws[t]) if draws else 0.0) for t in ids if t != target]
        if config.own_skips:
            more = own_skips(example.window, b, least(trainer))
            others += [state @ table[t] for t in more if t != target]
        weights.append(config.skipped_weight if skipped else 1.0)
        if isinstance(config, Gbce):
            alpha = config.negatives / (trainer.encoder.num_tracks - 1)
            beta = alpha * (GBCE_T * (1 - 1 / alpha) + 1 / alpha)
            likely = beta * torch.sigmoid(own).log() + sum((1 - torch.sigmoid(score)).log() for score in others)
            losses.append(-likely)
            continue
        rivals = torch.logsumexp(torch.stack(others), 0)
        p = torch.exp(own) / (torch.exp(own) + torch.exp(rivals))
        losses.append(-torch.log(1 - p) if config.targets == "avoid_skipped" and skipped else -torch.log(p))
    weight = torch.tensor(weights)
    return (torch.stack(losses) * weight).sum() / weight.sum()


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_a_naive_loop(tmp_path, case):
    store, trainer, drawn = made(tmp_path / "store", case)
    results = []
    for loss in (loss_of(trainer, drawn), naive(trainer, store, drawn)):
        trainer.encoder.zero_grad(set_to_none=True)
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in trainer.encoder.parameters() if p.grad is not None)])
        results[-1][1][0] = 0.0  # PAD has no gradient
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=2e-6)


def test_each_option_makes_another_loss(tmp_path):
    values = {}
    for case in (case for case in CASES if "skips from" not in case):
        _, trainer, drawn = made(tmp_path / case.replace(" ", "-"), case)
        values[case] = round(loss_of(trainer, drawn).item(), 6)
    assert len(set(values.values())) == len(values), values


def test_what_cannot_go_together_is_refused():
    for changes, said in (
        ({"next_track.kind": "full", "next_track.own_skips": True}, "adds nothing"),
        ({"next_track.kind": "gbce", "next_track.log_q": True}, "unknown key 'log_q'"),
        ({"next_track.kind": "gbce", "next_track.own_skips": True}, "corrects the sampling"),
        ({"next_track.kind": "gbce", "next_track.targets": "avoid_skipped"}, "corrects the sampling"),
        ({"next_track.kind": "gbce", "inputs.features": True}, "features = false"),
        ({"next_track.kind": "gbce", "heads.transitions": True}, "must be corrected"),
        ({"next_track.targets": "listened", "next_track.skipped_weight": 0.5}, "targets must be 'next'"),
        ({"next_track.skipped_weight": 0.0}, "above 0"),
        (
            {"next_track.kind": "mixed", "heads.transitions": True, "next_track.targets": "avoid_skipped"},
            "targets must be 'next' or 'listened'",
        ),
    ):
        with pytest.raises(InputError, match=said):
            load_recipe("paper-causal-s-minus", changes)
    with pytest.raises(InputError, match="use 'listened'"):
        load_recipe("paper-cloze-s-minus", {"next_track.targets": "next_listened"})
