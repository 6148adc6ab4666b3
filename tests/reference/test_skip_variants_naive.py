"""Every ablation and departure of the contrastive term equals a naive loop, and wrong ones do not."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from torch import Tensor

from segue.objectives import skip_contrastive_loss
from segue.objectives.roles import Heard, Roles, Rules, roles
from segue.objectives.variants import VARIANTS, VariantDraws, derangement, varied_skip_loss
from support.skip_variants import TAU, Batch, Naive, random_batch

SAME_ANCHORS = [
    name for name in VARIANTS if name not in ("inverted", "all_anchors", "listened_negatives", "cross_session_anchors")
]


def with_gradients(batch: Batch) -> tuple[Batch, list[Tensor]]:
    leaves = [x.clone().requires_grad_() for x in (batch.context, batch.rows, batch.drawn.rows) if x is not None]
    return Batch(leaves[0], leaves[1], batch.heard, VariantDraws(batch.drawn.keys, leaves[2])), leaves


def gradients(loss: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


def fast(batch: Batch, variant: str) -> Tensor:
    heard, drawn = batch.given(variant)
    return varied_skip_loss(batch.context, batch.rows, heard, VARIANTS[variant], drawn, TAU)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_equals_the_naive_loop_forward_and_backward(variant: str) -> None:
    counted = 0
    for seed in range(4):
        batch, leaves = with_gradients(random_batch(seed))
        loss, slow = fast(batch, variant), Naive(batch, variant).loss()
        torch.testing.assert_close(loss, slow, rtol=1e-9, atol=1e-9)
        for mine, other in zip(gradients(loss, leaves), gradients(slow, leaves), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)
        counted += bool(slow)
    assert counted > 1, "the batches have anchors"


MUTANTS = [
    *[("cross_session", mutant) for mutant in ("tile", "own session", "own listened kept", "empty anchors kept")],
    ("random_negatives", "one draw"),
    ("random_positive", "one draw"),
    ("random_positive", "dropped mask"),
    ("inverted", "dropped mask"),
    ("align_only", "no temperature"),
    ("all_anchors", "own track stays"),
    ("positive_not_in_denominator", "target in or out"),
    ("positive_not_in_denominator", "dropped mask"),
    ("listened_negatives", "listened negatives dropped"),
    ("cross_session_anchors", "own session"),
    ("cross_session_anchors", "own listened kept"),
]


@pytest.mark.parametrize(("variant", "mutant"), MUTANTS)
def test_the_comparison_rejects_the_mutant(variant: str, mutant: str) -> None:
    batches = [random_batch(seed) for seed in range(20)]
    assert any(abs(float(Naive(b, variant, mutant).loss() - fast(b, variant))) > 1e-4 for b in batches)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", ["no skips", "all skips", "nothing known", "no tracks"])
def test_without_anchors_a_variant_is_exactly_zero_with_zero_gradients(variant: str, case: str) -> None:
    batch, leaves = with_gradients(random_batch(1))
    everything = torch.ones_like(batch.heard.listened)
    tracks = batch.heard.tracks * (case != "no tracks")
    heard = Heard(tracks, everything & (case == "all skips"), everything & (case == "no skips"))
    loss = fast(dataclasses.replace(batch, heard=heard), variant)
    assert loss.item() == 0.0
    assert not any(gradient.any() for gradient in gradients(loss, leaves))


def test_the_defaults_are_the_term_to_the_bit() -> None:
    for seed in range(5):
        batch, leaves = with_gradients(random_batch(seed))
        heard = batch.heard
        term = skip_contrastive_loss(batch.context, batch.rows, heard.tracks, heard.skipped, heard.listened, TAU)
        mine = fast(batch, "none")
        assert torch.equal(mine, term)
        for one, other in zip(gradients(mine, leaves), gradients(term, leaves), strict=True):
            assert torch.equal(one, other)


def changed(batch: Batch, name: str) -> Roles:
    variant, chosen = VARIANTS[name], roles(batch.heard)
    return chosen if variant.change is None else variant.change(chosen, batch.heard, batch.drawn)


@pytest.mark.parametrize("name", SAME_ANCHORS)
def test_an_ablation_has_the_anchors_of_its_control(name: str) -> None:
    for seed in range(20):
        batch = random_batch(seed)
        correct = roles(batch.heard)
        assert (VARIANTS[name].rules, VARIANTS[name].inverted) == (Rules(), False)
        found = changed(batch, name).anchor
        if name != "cross_session":
            assert torch.equal(found, correct.anchor)
            continue
        control = VARIANTS["cross_session_anchors"].change
        assert control is not None
        assert torch.equal(found, control(correct, batch.heard, batch.drawn).anchor)
        assert not (found & ~correct.anchor).any()


def test_cross_session_takes_no_skip_of_its_own_session_and_nothing_listened_to_there() -> None:
    for seed in range(20):
        batch = random_batch(seed)
        found, tracks = changed(batch, "cross_session"), batch.heard.tracks
        width = tracks.shape[1]
        assert found.beside is not None
        assert not found.negative[:, :, :width].any()
        for b, other in enumerate(found.beside.tolist()):
            theirs = found.negative[b, 0, width:]
            own = set(tracks[b][batch.heard.listened[b]].tolist())
            assert not theirs.any() or other != b
            assert not own & set(tracks[other][theirs].tolist())
            assert batch.heard.skipped[other][theirs].all()


@pytest.mark.parametrize("taking", [0, 1, 2, 3, 7])
def test_a_derangement_leaves_none_with_itself_and_takes_each_once(taking: int) -> None:
    generator, size = torch.Generator().manual_seed(taking), 9
    seen = set()
    for _ in range(60):
        mask = torch.zeros(size, dtype=torch.bool)
        mask[torch.arange(taking) + 1] = True
        partner, exists = derangement(torch.rand(size, generator=generator), mask)
        assert sorted(partner.tolist()) == list(range(size))
        assert torch.equal(exists, mask & (taking > 1))
        assert (partner[exists] != torch.arange(size)[exists]).all()
        assert exists[partner[exists]].all()
        seen.add(tuple(partner.tolist()))
    assert len(seen) == {0: 1, 1: 1, 2: 1, 3: 2, 7: len(seen)}[taking]
    assert taking < 7 or len(seen) > 50
    tied, exists = derangement(torch.zeros(size), torch.ones(size, dtype=torch.bool))
    assert (tied != torch.arange(size)).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_variant_asks_the_host_for_a_value(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device there is none: a shape or a branch that hangs on data fails, as it would in a CUDA graph."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it knows no meta device
    batch = random_batch(0)
    heard, drawn = batch.given(variant)
    on_meta = Heard(*(part.to("meta") for part in (heard.tracks, heard.skipped, heard.listened)))
    draws = VariantDraws(*(None if part is None else part.to("meta") for part in (drawn.keys, drawn.rows)))
    context, rows = (part.to("meta").requires_grad_() for part in (batch.context, batch.rows))
    loss = varied_skip_loss(context, rows, on_meta, VARIANTS[variant], draws, TAU)
    loss.backward()
    assert (loss.device.type, loss.shape) == ("meta", ())
