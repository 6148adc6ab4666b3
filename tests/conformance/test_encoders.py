"""What every encoder keeps: causality, padding and order invariance, empty sessions, learning, trained parameters."""

from __future__ import annotations

import pytest
import torch

from segue.batches.causal import causal_example
from segue.batches.cloze import cloze_example
from segue.batches.data import Window
from segue.columns import POSITION_OFFSET
from segue.encoders import ENCODERS, build_encoder
from segue.encoders.attention import PaddedAttention
from segue.objectives import full_softmax_loss
from segue.session_batch import SessionBatch

MAX_LEN = 20
TRACKS = 30
LENGTHS = (3, 7, 20, 1, 12)


TRANSFORMER = {"heads": 2, "ffn_width": 16}
SMALL = {
    "causal": TRANSFORMER,
    "cloze": TRANSFORMER,
    "gru4rec": {"hidden": 16},
    "nextitnet": {"dilations": (1, 4)},
    "caser": {"window": 5, "horizontal": 4, "vertical": 2},
}
"""Each encoder, small."""
SHAPES = [
    *((kind, {"norm": norm}) for kind in ("causal", "cloze") for norm in ("post", "pre")),
    *((kind, {"padding": "visible"}) for kind in ("causal", "cloze")),
    *((kind, {"feedback": True}) for kind in ("causal", "cloze")),
    ("causal", {"feedback": True, "padding": "visible"}),
    ("causal", {"norm": "pre", "gated": True, "activation": "swiglu", "feedback": True}),
    ("gru4rec", {}),
    ("gru4rec", {"hidden": 12, "layers": 2}),
    ("nextitnet", {}),
    ("nextitnet", {"dilations": (2, 1, 2), "kernel": 2}),
    ("caser", {}),
    ("caser", {"window": 12}),
]
"""What the suite is run over: every encoder, and what its config can make of it."""


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join([shape[0], *map(str, shape[1].values())]))
def encoder(request):
    kind, settings = request.param
    return make(kind, **settings)


def make(kind, **settings):
    config = ENCODERS[kind](width=16, **(SMALL[kind] | settings))
    built = build_encoder(config, TRACKS, MAX_LEN, sparse=False, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # wide enough apart for differences to show
        built.table.weight[2:] *= 20
    return built.eval()


def sessions(lengths=LENGTHS, width=MAX_LEN, left=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tracks = torch.randint(3, TRACKS + 3, (len(lengths), MAX_LEN), generator=generator)
    feedback = torch.randint(0, 5, tracks.shape, generator=generator)  # unknown among them
    pad = width - MAX_LEN
    tracks, feedback = (torch.nn.functional.pad(x, (0, pad)) for x in (tracks, feedback))
    valid = torch.arange(width) < torch.tensor(lengths)[:, None]
    batch = [tracks * valid, feedback.masked_fill(~valid, 5), valid]
    if left:
        order = torch.argsort(valid.long(), dim=1, stable=True)
        batch = [x.gather(1, order) for x in batch]
    return SessionBatch(*batch)


def test_every_encoder_is_in_the_suite():
    assert set(ENCODERS) == set(SMALL) == {kind for kind, _ in SHAPES}


def test_a_later_track_never_changes_an_earlier_state(encoder):
    batch = sessions((20, 20, 20))
    changed = batch.tracks.clone()
    changed[:, 10:] = (changed[:, 10:] - 2) % TRACKS + 3
    before, after = encoder(batch), encoder(SessionBatch(changed, batch.feedback, batch.valid))
    assert not torch.equal(before[:, 10:], after[:, 10:])
    assert torch.equal(before[:, :10], after[:, :10]) == (not encoder.masked)


def test_padding_on_either_side_never_changes_a_result(encoder):
    expected = encoder.next_state(sessions())
    for other in (sessions(width=26), sessions(left=True), sessions(width=26, left=True)):
        torch.testing.assert_close(encoder.next_state(other), expected)
    junk = sessions()
    filled = SessionBatch(junk.tracks.masked_fill(~junk.valid, 9), junk.feedback, junk.valid)
    torch.testing.assert_close(encoder.next_state(filled), expected)


def test_sessions_never_touch_one_another(encoder):
    batch = sessions()
    turned = SessionBatch(batch.tracks.flip(0), batch.feedback.flip(0), batch.valid.flip(0))
    torch.testing.assert_close(encoder.next_state(turned).flip(0), encoder.next_state(batch))


def test_an_empty_session_has_a_finite_state_and_gradient(encoder):
    state = encoder.next_state(sessions((0, 4)))
    state.sum().backward()
    assert torch.isfinite(state).all()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_only_the_declared_inputs_are_read(encoder):
    batch = sessions()
    other = SessionBatch(batch.tracks, (batch.feedback + 1) % 4, batch.valid)
    assert encoder.inputs <= {"feedback"}
    assert torch.equal(encoder(batch), encoder(other)) == ("feedback" not in encoder.inputs)


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_one_skip_changes_the_next_state_and_no_earlier_one(kind):
    encoder = make(kind, feedback=True)
    batch = sessions((20, 20, 20))
    turned = batch.feedback.clone()
    turned[:, 12] = (turned[:, 12] + 2) % 4
    other = SessionBatch(batch.tracks, turned, batch.valid)
    assert (encoder.next_state(batch) != encoder.next_state(other)).any(dim=1).all()
    before, after = encoder(batch), encoder(other)
    assert (before[:, 12] != after[:, 12]).any(dim=1).all()
    assert torch.equal(before[:, :12], after[:, :12]) == (not encoder.masked)


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_the_feedback_of_what_is_predicted_is_never_seen(kind):
    """The feedback of a target changes no state that predicts it, nor any before it, whatever is masked."""
    encoder = make(kind, feedback=True)
    window = sessions((3, 9, 20, 20, 12))
    states, targets = [], []
    for turn in (False, True):
        generator = torch.Generator().manual_seed(4)  # the same is masked
        example = example_of(encoder, Window(window.tracks, window.feedback, window.valid), generator)
        place = torch.arange(example.target.shape[1])
        # turn the feedback of every target (cloze), or of the target of position 5 and of all after it
        hit = example.targets if encoder.masked else window.valid & (torch.arange(MAX_LEN) >= 6)
        feedback = torch.where(hit, (window.feedback + 1 + turn) % 4, window.feedback)
        generator = torch.Generator().manual_seed(4)
        example = example_of(encoder, Window(window.tracks, feedback, window.valid), generator)
        states.append(encoder(example.batch))
        targets.append(example.targets & (encoder.masked | (place <= 5)))
    assert torch.equal(targets[0], targets[1])
    assert targets[0].any()
    assert torch.equal(states[0][targets[0]], states[1][targets[1]])


def test_unknown_stands_for_a_share_of_the_inputs_alone():
    window = sessions((20,) * 40)
    window = Window(window.tracks, window.feedback, window.valid)
    plain = causal_example(window, MAX_LEN, torch.Generator().manual_seed(0), "literal")
    some = causal_example(window, MAX_LEN, torch.Generator().manual_seed(0), "literal", 0.25)
    unknown = some.batch.tracks == 1
    assert 0.15 < unknown.float().mean() < 0.35
    assert torch.equal(some.batch.tracks[~unknown], plain.batch.tracks[~unknown])
    assert torch.equal(some.target, plain.target)
    assert torch.equal(some.batch.feedback, plain.batch.feedback)


def test_a_long_session_keeps_its_most_recent_tracks(encoder):
    keep = MAX_LEN - encoder.masked
    long = torch.randint(3, TRACKS + 3, (2, 30), generator=torch.Generator().manual_seed(5))
    whole = SessionBatch(long, torch.zeros_like(long), torch.ones_like(long, dtype=torch.bool))
    recent = SessionBatch(*(x[:, -keep:] for x in (whole.tracks, whole.feedback, whole.valid)))
    torch.testing.assert_close(encoder.next_state(whole), encoder.next_state(recent))


def test_the_next_state_is_the_last_one_of_forward(encoder):
    batch = sessions()
    if encoder.masked:  # its last one is a MASK's
        pytest.skip("cloze appends MASK: its states of the tracks are others")
    last = encoder(batch)[torch.arange(len(LENGTHS)), torch.tensor(LENGTHS) - 1]
    assert torch.equal(encoder.next_state(batch), last)


def example_of(encoder, window, generator, position="shifted"):
    if encoder.masked:
        return cloze_example(window, 0.2, MAX_LEN, generator, position)
    return causal_example(window, MAX_LEN, generator, position)


def test_values_are_dropped_in_training_alone(encoder):
    batch = sessions()
    assert torch.equal(encoder(batch), encoder(batch))
    encoder.train()
    assert not torch.equal(encoder(batch), encoder(batch))


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_every_position_row_used_at_inference_gets_gradient(kind):
    encoder = make(kind, dropout=0.0)
    generator = torch.Generator().manual_seed(3)
    for seed in range(6):
        lengths = torch.randint(8, 19, (32,), generator=generator).tolist()  # sessions of 10..20 less two held out
        window = sessions(lengths, seed=seed)
        example = example_of(encoder, Window(window.tracks, window.feedback, window.valid), generator)
        full_softmax_loss(encoder(example.batch), encoder.table.weight, example.target, example.targets).backward()
    assert (encoder.positions.weight.grad.abs().sum(dim=1) > 0).all()
    longest = SessionBatch(window.tracks, window.feedback, window.valid, {POSITION_OFFSET: torch.full((32,), 2)})
    assert not torch.equal(encoder(longest), encoder(window))


def test_every_parameter_is_trained(encoder):
    """Gradient reaches what every layer reads and its units, but for the few that ReLU silences where training begins.

    A tap of a convolution without any would be a fifth of its inputs or more.
    """
    encoder.train()
    generator = torch.Generator().manual_seed(3)
    for seed in range(6):
        window = sessions(torch.randint(8, 21, (32,), generator=generator).tolist(), seed=seed)
        example = example_of(encoder, Window(window.tracks, window.feedback, window.valid), generator)
        full_softmax_loss(encoder(example.batch), encoder.table.weight, example.target, example.targets).backward()
    for name, parameter in encoder.named_parameters():
        reached = (parameter.grad != 0).reshape(len(parameter), -1)  # unit, what it reads
        if name == "table.weight":
            reached = reached[3 - encoder.masked :]  # tracks; MASK where it is read
        assert reached.any(dim=0).float().mean() > 0.8, name
        assert reached.any(dim=1).float().mean() > 0.8, name


@pytest.mark.parametrize("kind", ENCODERS)
def test_eight_sessions_are_learnt_by_heart(kind):
    encoder = make(kind, dropout=0.0).train()
    batch = sessions((6, 5, 8, 7, 4, 9, 6, 10), seed=4)
    window, generator = Window(batch.tracks, batch.feedback, batch.valid), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        example = example_of(encoder, window, generator, "literal")
        full_softmax_loss(encoder(example.batch), encoder.table.weight, example.target, example.targets).backward()
        optimiser.step()
    last = batch.valid.sum(dim=1, keepdim=True) - 1
    before = batch.valid.scatter(1, last, False)
    state = encoder.eval().next_state(SessionBatch(batch.tracks, batch.feedback, before))
    best = (state @ encoder.table.weight[3:].T).argmax(dim=1) + 3
    assert (best == batch.tracks.gather(1, last)[:, 0]).sum() >= 7


def amid_padding(encoder, tracks):
    """Return y_hat of one session by the letter: MAX_LEN rows, zeros before the tracks, all seen, positions from 0."""
    laid = torch.cat([torch.zeros(MAX_LEN - len(tracks), encoder.width), encoder.table.weight[tracks]])
    x = (laid + encoder.positions.weight)[None]
    visible = torch.ones(MAX_LEN, MAX_LEN, dtype=torch.bool)
    visible = (visible.tril() if encoder.causal else visible)[None, None]
    for block in encoder.blocks:
        x = block(x, PaddedAttention(visible, encoder.config.heads, 0.0))
    return torch.nn.functional.gelu(encoder.predict(encoder.final_norm(x)))[0, MAX_LEN - len(tracks) :]


@pytest.mark.parametrize("kind", ["causal", "cloze"])
@pytest.mark.parametrize("left", [True, False])
def test_visible_padding_is_the_letter_of_the_paper(kind, left):
    """Forward and backward, sessions of unequal length, an offset making no difference."""
    encoder = make(kind, padding="visible")
    batch, plain = sessions(width=MAX_LEN + 2, left=left), sessions()
    offset = {POSITION_OFFSET: torch.arange(len(LENGTHS))}
    weights = torch.randn(sum(LENGTHS), encoder.width, generator=torch.Generator().manual_seed(2))
    found = []
    for states in (
        encoder(SessionBatch(batch.tracks, batch.feedback, batch.valid, offset))[batch.valid],
        torch.cat([amid_padding(encoder, plain.tracks[b, :n]) for b, n in enumerate(LENGTHS)]),
    ):
        encoder.zero_grad(set_to_none=True)
        (states * weights).sum().backward()
        grads = {name: p.grad.clone() for name, p in encoder.named_parameters()}
        grads["table.weight"][0] = 0.0  # PAD has no gradient
        found.append({"states": states.detach(), **grads})
    for name, value in found[1].items():
        torch.testing.assert_close(found[0][name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    assert not torch.allclose(make(kind)(batch)[batch.valid], found[1]["states"], atol=1e-3), "and not what masks give"


def test_visible_padding_reads_no_further_back_than_its_places():
    encoder = make("causal", padding="visible")
    batch = sessions((20, 20), width=MAX_LEN)
    longer = SessionBatch(*(torch.cat([x[:, :3], x], dim=1) for x in (batch.tracks, batch.feedback, batch.valid)))
    torch.testing.assert_close(encoder(longer)[:, 3:], encoder(batch))
