"""The contrastive term equals a naive triple loop, forward and backward; wrong versions of it do not."""

from __future__ import annotations

import itertools

import pytest
import torch

from segue.objectives import skip_contrastive_loss

TAU = 0.1


def cosine(a, b):
    return (a @ b) / (a.norm().clamp(min=1e-8) * b.norm().clamp(min=1e-8))


def anchors_of(tracks, skipped, listened, b):
    """Positions (anchor, positive) and negative positions of session b, by the words of the method."""
    places = [i for i in range(tracks.shape[1]) if tracks[b, i] != 0]
    heard = {int(tracks[b, i]) for i in places if listened[b, i]}
    negatives = [i for i in places if skipped[b, i] and int(tracks[b, i]) not in heard]
    chosen = [i for i in places if listened[b, i]]
    return list(itertools.pairwise(chosen)), negatives


def naive(context, rows, tracks, skipped, listened, mutant=""):
    losses = []
    sessions = range(len(tracks))
    for b in sessions:
        pairs, negatives = anchors_of(tracks, skipped, listened, b)
        if mutant == "listened negatives kept":
            negatives = [i for i in range(tracks.shape[1]) if skipped[b, i]]
        if mutant == "distinct negatives":
            negatives = list({int(tracks[b, i]): i for i in negatives}.values())
        if not negatives:
            continue
        for place, (i, p) in enumerate(pairs):
            from_session = b
            if mutant == "tile":  # queries are session-major, so a tiled negative comes from another session
                from_session = place % len(tracks)
            source = anchors_of(tracks, skipped, listened, from_session)[1] if mutant == "tile" else negatives
            p = min(i + 1, tracks.shape[1] - 1) if mutant == "next position" else p
            own = (cosine(context[b, i], rows[b, p]) / TAU).exp()
            whole = own * (mutant != "missing target")
            for n in range(tracks.shape[1]) if mutant == "dropped mask" else source:
                whole = whole + (cosine(context[b, i], rows[from_session, n]) / TAU).exp()
            losses.append(-(own / whole).log() if mutant != "tile" or source else own * 0)
    return torch.stack(losses).mean() if losses else (context * 0).sum() + (rows * 0).sum()


def random_batch(seed, sessions=5, length=9, num_tracks=7, width=6):
    """Unequal lengths; session 0 without skips, session 1 all skips; few tracks, so that they repeat."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(num_tracks + 1, width, generator=generator, dtype=torch.float64)
    table[0], table[1] = 0, 0  # padding, and one track whose row is zero
    tracks = torch.randint(1, num_tracks + 1, (sessions, length), generator=generator)
    lengths = torch.randint(3, length + 1, (sessions,), generator=generator)
    valid = torch.arange(length) < lengths[:, None]
    feedback = torch.randint(0, 3, (sessions, length), generator=generator)  # 0 listened, 1 skipped, 2 unknown
    feedback[0], feedback[1] = 0, 1
    tracks = tracks * valid
    rows = table[tracks].clone()
    context = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    return context, rows, tracks, (feedback == 1) & valid, (feedback == 0) & valid


@pytest.mark.parametrize("seed", range(8))
def test_the_term_equals_the_triple_loop_forward_and_backward(seed):
    context, rows, *masks = random_batch(seed)
    results = []
    for function in (skip_contrastive_loss, naive):
        c, e = context.clone().requires_grad_(), rows.clone().requires_grad_()
        loss = function(c, e, *masks)
        loss.backward()
        results.append((loss.detach(), c.grad, e.grad))
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


MUTANTS = ("tile", "dropped mask", "missing target", "listened negatives kept", "distinct negatives", "next position")


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_rejects_the_mutant(mutant):
    batches = [random_batch(seed) for seed in range(20)]
    differs = [abs(float(naive(*b, mutant=mutant) - skip_contrastive_loss(*b))) > 1e-4 for b in batches]
    assert any(differs)


def test_gradients_pass_gradcheck_in_float64():
    context, rows, *masks = random_batch(3, sessions=3, length=6)
    rows = rows + 0.5  # away from the clamp, where the term is not smooth
    inputs = (context.requires_grad_(), rows.requires_grad_())
    assert torch.autograd.gradcheck(lambda c, e: skip_contrastive_loss(c, e, *masks), inputs)


def test_a_session_never_feels_another():
    context, rows, tracks, skipped, listened = random_batch(2)
    e = rows.clone().requires_grad_()
    pieces = [skip_contrastive_loss(*(x[b : b + 1] for x in (context, e, tracks, skipped, listened))) for b in range(5)]
    pieces[3].backward()
    assert e.grad is not None
    assert not e.grad[[0, 1, 2, 4]].any()
    counts = [len(p) if n else 0 for p, n in (anchors_of(tracks, skipped, listened, b) for b in range(5))]
    whole = sum(piece.item() * count for piece, count in zip(pieces, counts, strict=True)) / sum(counts)
    assert float(skip_contrastive_loss(context, rows, tracks, skipped, listened)) == pytest.approx(whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", ["no skips", "all skips", "no tracks"])
def test_without_anchors_exactly_zero_and_finite_gradients(dtype, case):
    context, rows, tracks, _, _ = random_batch(1)
    c, e = torch.zeros_like(context, dtype=dtype, requires_grad=True), rows.to(dtype).requires_grad_()
    tracks = tracks * (case != "no tracks")
    everything = torch.ones_like(tracks, dtype=torch.bool)
    loss = skip_contrastive_loss(c, e, tracks, everything & (case == "all skips"), everything & (case == "no skips"))
    loss.backward()
    assert loss.item() == 0.0
    assert c.grad is not None
    assert e.grad is not None
    assert not c.grad.any()
    assert not e.grad.any()


def test_zero_rows_keep_gradients_finite():
    context, rows, *masks = random_batch(4)
    c, e = torch.zeros_like(context).requires_grad_(), torch.zeros_like(rows).requires_grad_()
    loss = skip_contrastive_loss(c, e, *masks)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(c.grad).all()
    assert torch.isfinite(e.grad).all()


def test_similarities_stay_float32_under_bf16():
    context, rows, *masks = random_batch(5)
    c, e = context.float(), rows.float()
    expected = skip_contrastive_loss(c, e, *masks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = skip_contrastive_loss(c, e, *masks)
    assert autocast.dtype == torch.float32
    torch.testing.assert_close(autocast, expected)
    assert skip_contrastive_loss(c.bfloat16(), e.bfloat16(), *masks).dtype == torch.float32


def test_a_temperature_of_zero_is_refused():
    context, rows, *masks = random_batch(0)
    with pytest.raises(ValueError, match="temperature"):
        skip_contrastive_loss(context, rows, *masks, temperature=0.0)
