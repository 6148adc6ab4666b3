"""What every encoder keeps: causality, padding and order invariance, empty sessions, learning, trained parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from segue.model.encoders.attention import AttentionConfig, PaddedAttention
from segue.model.encoders.registry import ENCODER_CONFIGS
from segue.model.inputs.feedback_codes import FeedbackConfig
from segue.objectives import full_softmax_loss
from support.small_models import encoder_of, example_config, example_of, padded_batch, training_data

MAX_LEN = 20
TRACKS = 30
LENGTHS = (3, 7, 20, 1, 12)

TRANSFORMER = {"heads": 2, "ffn_width": 16}
SMALL = {
    "causal": TRANSFORMER,
    "cloze": TRANSFORMER,
    "gru4rec": {},
    "nextitnet": {},
    "caser": {},
}
"""Each encoder, small."""
SHAPES = [
    *((kind, {"block_type": block_type}) for kind in ("causal", "cloze") for block_type in ("post_norm", "pre_norm")),
    *((kind, {"position": "padded"}) for kind in ("causal", "cloze")),
    *((kind, {"feedback": True}) for kind in ("causal", "cloze")),
    ("causal", {"feedback": True, "position": "padded"}),
    ("causal", {"block_type": "gated", "feedback": True}),
    ("causal", {"block_type": "pre_norm", "prediction_layer": False}),
    *((kind, {"temperature": 0.3}) for kind in ("causal", "cloze", "gru4rec", "caser")),
    ("gru4rec", {}),
    ("nextitnet", {}),
    ("caser", {}),
]
"""What the suite is run over: every encoder, and what its config can make of it."""


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join([shape[0], *map(str, shape[1].values())]))
def encoder(request):
    kind, settings = request.param
    return make(kind, **settings)


def make(kind, *, feedback=False, temperature=0.0, **settings):
    config = ENCODER_CONFIGS[kind](width=16, **(SMALL[kind] | settings))
    inputs = {"feedback": FeedbackConfig()} if feedback else {}
    generator = torch.Generator().manual_seed(1)
    built = encoder_of(config, TRACKS, MAX_LEN, generator, inputs, temperature=temperature)
    with torch.no_grad():  # wide enough apart for differences to show
        built.table.weight[2:] *= 20
    return built.eval()


@dataclass(frozen=True)
class Sessions:
    """Padded sessions, [B, L] each."""

    tracks: Tensor
    feedback: Tensor
    valid: Tensor

    @property
    def batch(self):
        return padded_batch(self.tracks, self.feedback, self.valid)

    @property
    def data(self):
        return training_data(self.tracks, self.feedback, self.valid)


def sessions(lengths=LENGTHS, width=MAX_LEN, left=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tracks = torch.randint(3, TRACKS + 3, (len(lengths), MAX_LEN), generator=generator)
    feedback = torch.randint(0, 5, tracks.shape, generator=generator)  # unknown among them
    pad = width - MAX_LEN
    tracks, feedback = (torch.nn.functional.pad(x, (0, pad)) for x in (tracks, feedback))
    valid = torch.arange(width) < torch.tensor(lengths)[:, None]
    parts = [tracks * valid, feedback.masked_fill(~valid, 5), valid]
    if left:
        order = torch.argsort(valid.long(), dim=1, stable=True)
        parts = [x.gather(1, order) for x in parts]
    return Sessions(*parts)


def states_of(encoder, sessions):
    """Return the states of sessions of equal length, [B, L, D]."""
    return encoder(sessions.batch).view(*sessions.tracks.shape, -1)


def example_for(encoder, sessions, generator, *, shifted=True):
    """Return a training example; cloze masks a fifth of the tracks."""
    config = example_config(encoder, share=0.2 * encoder.masked, shifted=shifted)
    return example_of(config, sessions.data, generator)


def loss_of(encoder, example):
    every = torch.arange(TRACKS + 3)
    return full_softmax_loss(encoder(example.batch), example.target, encoder.rows(every))


def test_with_a_temperature_the_length_of_a_row_or_state_says_nothing(encoder):
    """A score is then cosine / temperature."""
    if encoder.temperature == 0.0:
        return
    batch, every = sessions().batch, torch.arange(3, TRACKS + 3)
    with torch.no_grad():
        scores = encoder(batch) @ encoder.rows(every).T
        assert float(scores.abs().max()) <= 1 / encoder.temperature + 1e-4
        torch.testing.assert_close(encoder.ranked_rows()[3:], encoder.rows(every))
        encoder.table.weight[5] *= 7
        torch.testing.assert_close(encoder(batch) @ encoder.rows(every).T, scores)


def test_every_encoder_is_in_the_suite():
    assert set(ENCODER_CONFIGS) == set(SMALL) == {kind for kind, _ in SHAPES}


def test_a_later_track_never_changes_an_earlier_state(encoder):
    some = sessions((20, 20, 20))
    changed = some.tracks.clone()
    changed[:, 10:] = (changed[:, 10:] - 2) % TRACKS + 3
    before, after = states_of(encoder, some), states_of(encoder, replace(some, tracks=changed))
    assert not torch.equal(before[:, 10:], after[:, 10:])
    assert torch.equal(before[:, :10], after[:, :10]) == (not encoder.masked)


def test_padding_on_either_side_never_changes_a_result(encoder):
    expected = encoder.next_state(sessions().batch)
    for other in (sessions(width=26), sessions(left=True), sessions(width=26, left=True)):
        torch.testing.assert_close(encoder.next_state(other.batch), expected)
    some = sessions()
    filled = replace(some, tracks=some.tracks.masked_fill(~some.valid, 9))
    torch.testing.assert_close(encoder.next_state(filled.batch), expected)


def test_positions_after_the_last_session_never_change_a_state(encoder):
    """They are PAD of hidden feedback, as rounding up leaves them; nor does room for a longer session."""
    batch = sessions().batch
    num = len(batch.tracks)
    tracks, position = (torch.nn.functional.pad(x, (0, 9)) for x in (batch.tracks, batch.position))
    feedback = torch.nn.functional.pad(batch.feedback, (0, 9), value=5)
    rounded_up = replace(batch, tracks=tracks, feedback=feedback, position=position)
    weight, states = torch.randn(num, 1, generator=torch.Generator().manual_seed(2)), []
    for each in (batch, rounded_up, replace(batch, longest=23)):
        encoder.zero_grad(set_to_none=True)
        states.append(encoder(each))
        assert torch.isfinite(states[-1]).all()
        (weight * states[-1][:num].cumsum(1)).sum().backward()  # the squares of normed states have no gradient
        grads = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
        states[-1] = [states[-1][:num].detach(), *grads]
    for other in states[1:]:
        for one, two in zip(states[0], other, strict=True):
            torch.testing.assert_close(one, two)


def test_sessions_never_touch_one_another(encoder):
    some = sessions()
    turned = Sessions(some.tracks.flip(0), some.feedback.flip(0), some.valid.flip(0))
    torch.testing.assert_close(encoder.next_state(turned.batch).flip(0), encoder.next_state(some.batch))


def test_an_empty_session_has_a_finite_state_and_gradient(encoder):
    state = encoder.next_state(sessions((0, 4)).batch)
    state.sum().backward()
    assert torch.isfinite(state).all()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_only_the_declared_inputs_are_read(encoder):
    some = sessions()
    other = replace(some, feedback=(some.feedback + 1) % 4)
    assert set(encoder.inputs) <= {"feedback"}
    assert encoder.reads_feedback == ("feedback" in encoder.inputs)
    assert torch.equal(encoder(some.batch), encoder(other.batch)) == (not encoder.reads_feedback)


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_one_skip_changes_the_next_state_and_no_earlier_one(kind):
    encoder = make(kind, feedback=True)
    some = sessions((20, 20, 20))
    turned = some.feedback.clone()
    turned[:, 12] = (turned[:, 12] + 2) % 4
    other = replace(some, feedback=turned)
    assert (encoder.next_state(some.batch) != encoder.next_state(other.batch)).any(dim=1).all()
    before, after = states_of(encoder, some), states_of(encoder, other)
    assert (before[:, 12] != after[:, 12]).any(dim=1).all()
    assert torch.equal(before[:, :12], after[:, :12]) == (not encoder.masked)


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_the_feedback_of_what_is_predicted_is_never_seen(kind):
    """The feedback of a target changes no state that predicts it, nor any before it, whatever is masked."""
    encoder = make(kind, feedback=True)
    some = sessions((3, 9, 20, 20, 12))
    column = torch.arange(MAX_LEN).expand(some.valid.shape)
    states, targets = [], []
    for turn in (False, True):
        # turn the feedback of every target (cloze), or of the target of position 5 and of all after it
        example = example_for(encoder, some, torch.Generator().manual_seed(4))
        hit = some.valid & (column >= 6)
        if encoder.masked:
            hit = torch.zeros_like(some.valid).masked_scatter(some.valid, example.target > 0)
        feedback = torch.where(hit, (some.feedback + 1 + turn) % 4, some.feedback)
        generator = torch.Generator().manual_seed(4)  # the same is masked
        example = example_for(encoder, replace(some, feedback=feedback), generator)
        states.append(encoder(example.batch))
        first = example.batch.offsets[example.batch.session]
        predicts = encoder.masked | (torch.arange(len(first)) - first <= 5)
        targets.append((example.target > 0) & predicts)
    assert torch.equal(targets[0], targets[1])
    assert targets[0].any()
    assert torch.equal(states[0][targets[0]], states[1][targets[1]])


def test_unknown_stands_for_a_share_of_the_inputs_alone():
    data, encoder = sessions((20,) * 40).data, make("causal")
    whole, some = (
        example_of(example_config(encoder, share=share, shifted=False), data, torch.Generator().manual_seed(0))
        for share in (0.0, 0.25)
    )
    unknown = some.batch.tracks == 1
    assert 0.15 < unknown.float().mean() < 0.35
    assert torch.equal(some.batch.tracks[~unknown], whole.batch.tracks[~unknown])
    for name in ("target", "target_place", "target_feedback", "ids"):
        assert torch.equal(getattr(some, name), getattr(whole, name)), name
    assert torch.equal(some.batch.feedback, whole.batch.feedback)
    assert torch.equal(some.window.tracks, whole.window.tracks)


def test_a_long_session_keeps_its_most_recent_tracks(encoder):
    keep = MAX_LEN - encoder.masked
    long = torch.randint(3, TRACKS + 3, (2, 30), generator=torch.Generator().manual_seed(5))
    whole = Sessions(long, torch.zeros_like(long), torch.ones_like(long, dtype=torch.bool))
    recent = Sessions(*(x[:, -keep:] for x in (whole.tracks, whole.feedback, whole.valid)))
    torch.testing.assert_close(encoder.next_state(whole.batch), encoder.next_state(recent.batch))


def test_the_next_state_is_the_last_one_of_forward(encoder):
    batch = sessions().batch
    if encoder.masked:  # its last one is a MASK's
        pytest.skip("cloze appends MASK: its states of the tracks are others")
    assert torch.equal(encoder.next_state(batch), encoder(batch)[batch.last])


def test_the_exported_form_gives_the_next_state(encoder):
    """Of sessions padded on the right whose rows are given; a session may be empty."""
    for lengths in (LENGTHS, (0, 20, 4)):
        some = sessions(lengths)
        rows = encoder.rows(some.tracks)
        padded = encoder.padded_next_state(rows, some.feedback, some.valid, encoder.rows(torch.tensor(2)))
        torch.testing.assert_close(padded, encoder.next_state(some.batch))


def test_values_are_dropped_in_training_alone(encoder):
    batch = sessions().batch
    assert torch.equal(encoder(batch), encoder(batch))
    encoder.train()
    assert not torch.equal(encoder(batch), encoder(batch))


@pytest.mark.parametrize("kind", ["causal", "cloze"])
def test_every_position_row_used_at_inference_gets_gradient(kind):
    encoder = make(kind, dropout=0.0)
    generator = torch.Generator().manual_seed(3)
    for seed in range(6):
        lengths = torch.randint(8, 19, (32,), generator=generator).tolist()  # sessions of 10..20 less two held out
        some = sessions(lengths, seed=seed)
        loss_of(encoder, example_for(encoder, some, generator)).backward()
    assert (encoder.positions.weight.grad.abs().sum(dim=1) > 0).all()
    batch = some.batch
    assert not torch.equal(encoder(replace(batch, position=batch.position + 2)), encoder(batch))


def test_every_parameter_is_trained(encoder):
    """Gradient reaches what every layer reads and its units, but for the few that ReLU silences where training begins.

    A tap of a convolution without any would be a fifth of its inputs or more.
    """
    encoder.train()
    generator = torch.Generator().manual_seed(3)
    for seed in range(6):
        some = sessions(torch.randint(8, 21, (32,), generator=generator).tolist(), seed=seed)
        loss_of(encoder, example_for(encoder, some, generator)).backward()
    for name, parameter in encoder.named_parameters():
        reached = (parameter.grad != 0).reshape(len(parameter), -1)  # unit, what it reads
        if name == "table.weight":
            reached = reached[3 - encoder.masked :]  # tracks; MASK where it is read
        assert reached.any(dim=0).float().mean() > 0.8, name
        assert reached.any(dim=1).float().mean() > 0.8, name


@pytest.mark.parametrize("kind", ENCODER_CONFIGS)
def test_eight_sessions_are_learnt_by_heart(kind):
    encoder = make(kind, dropout=0.0).train()
    some = sessions((6, 5, 8, 7, 4, 9, 6, 10), seed=4)
    generator, optimiser = torch.Generator().manual_seed(0), torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        loss_of(encoder, example_for(encoder, some, generator, shifted=False)).backward()
        optimiser.step()
    last = some.valid.sum(dim=1, keepdim=True) - 1
    before = replace(some, valid=some.valid.scatter(1, last, False))
    state = encoder.eval().next_state(before.batch)
    best = (state @ encoder.table.weight[3:].T).argmax(dim=1) + 3
    assert (best == some.tracks.gather(1, last)[:, 0]).sum() >= 7


def amid_padding(encoder, tracks):
    """Return y_hat of one session by the letter: MAX_LEN rows, zeros before the tracks, all seen, positions from 0."""
    laid = torch.cat([torch.zeros(MAX_LEN - len(tracks), encoder.width), encoder.table.weight[tracks]])
    x = (laid + encoder.positions.weight)[None]
    visible = torch.ones(MAX_LEN, MAX_LEN, dtype=torch.bool)
    visible = (visible.tril() if encoder.causal else visible)[None, None]
    attend = PaddedAttention(visible, AttentionConfig(encoder.config.heads, encoder.causal, 0.0))
    for block in encoder.blocks:
        x = block(x, attend)
    return torch.nn.functional.gelu(encoder.predict(encoder.final_norm(x)))[0, MAX_LEN - len(tracks) :]


@pytest.mark.parametrize("kind", ["causal", "cloze"])
@pytest.mark.parametrize("left", [True, False])
def test_visible_padding_is_the_letter_of_the_paper(kind, left):
    """Forward and backward, sessions of unequal length, an offset making no difference."""
    encoder = make(kind, position="padded")
    batch, some = sessions(width=MAX_LEN + 2, left=left).batch, sessions()
    shifted = replace(batch, position=batch.position + batch.session)
    weights = torch.randn(sum(LENGTHS), encoder.width, generator=torch.Generator().manual_seed(2))
    results = []
    for states in (
        encoder(shifted),
        torch.cat([amid_padding(encoder, some.tracks[b, :n]) for b, n in enumerate(LENGTHS)]),
    ):
        encoder.zero_grad(set_to_none=True)
        (states * weights).sum().backward()
        grads = {name: p.grad.clone() for name, p in encoder.named_parameters()}
        grads["table.weight"][0] = 0.0  # PAD has no gradient
        results.append({"states": states.detach(), **grads})
    for name, value in results[1].items():
        torch.testing.assert_close(
            results[0][name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}"
        )
    assert not torch.allclose(make(kind)(batch), results[1]["states"], atol=1e-3), "and not what masks give"


def test_visible_padding_reads_no_further_back_than_its_places():
    encoder = make("causal", position="padded")
    some = sessions((20, 20), width=MAX_LEN)
    longer = Sessions(*(torch.cat([x[:, :3], x], dim=1) for x in (some.tracks, some.feedback, some.valid)))
    torch.testing.assert_close(states_of(encoder, longer)[:, 3:], states_of(encoder, some))
