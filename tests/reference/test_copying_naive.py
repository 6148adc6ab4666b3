"""Copying from the session equals a loop over its plays, in training and in rankings."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from segue.batch import Batch
from segue.model.encoders.causal import CausalConfig
from segue.model.heads import CopyConfig, CopyHead, Predicted
from segue.ranking.scores import Mass
from support.small_models import encoder_of

WIDTH, TRACKS = 8, 12
SESSIONS = ((5, 7, 5, 9), (4,), (6, 6, 6), (3, 1, 8, 3, 14))
"""Table rows; 1 is UNKNOWN. Unequal lengths; repeats; one track that is never repeated."""
FEEDBACK = ((0, 3, 0, 4), (3,), (2, 0, 1), (0, 5, 3, 3, 0))
TARGETS = ((7, 5, 7, 3), (4,), (6, 0, 9), (1, 3, 3, 14, 8))
"""0 = none. A target that is UNKNOWN, or the last track itself."""


@pytest.fixture
def head() -> CopyHead:
    encoder = encoder_of(CausalConfig(width=WIDTH, heads=2), TRACKS, 8, heads={"copy": CopyConfig()})
    head = encoder.heads["copy"]
    assert isinstance(head, CopyHead)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return head


def flat(values: tuple[tuple[int, ...], ...], more: int) -> Tensor:
    return torch.tensor([value for each in values for value in each] + [0] * more)


def batch_of(more: int = 3) -> Batch:
    """Return the sessions; `more`: positions after the last one."""
    offsets = torch.tensor([0, 4, 5, 8, 13])
    feedback = flat(FEEDBACK, more)
    feedback[13:] = 5
    return Batch(flat(SESSIONS, more), feedback, torch.zeros(13 + more, dtype=torch.int64), offsets, 6)


def predicted_of(states: Tensor, table: Tensor) -> Predicted:
    batch = batch_of()
    nothing = torch.zeros(len(states), dtype=torch.bool)
    return Predicted(states, batch.tracks, flat(TARGETS, 3), nothing, nothing, batch, table[batch.tracks])


def copy_score(head: CopyHead, state: Tensor, row: Tensor, age: int, feedback: int) -> Tensor:
    return (head.ask.weight @ state) @ row + head.age[min(age, len(head.age) - 1)] + head.heard[feedback]


def masses(head: CopyHead, states: Tensor, table: Tensor, session: int, position: int) -> dict[int, Tensor]:
    """Return the sum of exp(c) of each track, after `position` of a session."""
    first = [0, 4, 5, 8][session]
    result: dict[int, Tensor] = {}
    for j in range(position + 1):
        track = SESSIONS[session][j]
        if track >= 3:
            score = copy_score(head, states[first + position], table[track], position - j, FEEDBACK[session][j])
            result[track] = result.get(track, torch.zeros(())) + score.exp()
    return result


def test_training_equals_a_loop_forward_and_backward(head: CopyHead) -> None:
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(16, WIDTH, generator=generator).requires_grad_()
    table = torch.randn(TRACKS + 3, WIDTH, generator=generator).requires_grad_()
    weights = torch.randn(2, 16, generator=generator)
    mixture = head.mixture(predicted_of(states, table))
    expected = []
    for session, targets in enumerate(TARGETS):
        for position, target in enumerate(targets):
            index = [0, 4, 5, 8][session] + position
            of_tracks = masses(head, states, table, session, position)
            assert (mixture.gate[index] > -1e30) == (target > 0)
            assert (mixture.log_share[index] > -1e30) == (target in of_tracks)
            if target > 0:
                total = torch.stack(list(of_tracks.values())).sum()
                torch.testing.assert_close(mixture.gate[index], total.log())
                expected.append(weights[0, index] * total.log())
                if target in of_tracks:
                    torch.testing.assert_close(mixture.log_share[index], (of_tracks[target] / total).log())
                    expected.append(weights[1, index] * (of_tracks[target] / total).log())
    assert (mixture.gate[13:] == -1e30).all()
    leaves = [states, table, *head.parameters()]
    known = mixture.gate > -1e30, mixture.log_share > -1e30
    fast = (weights[0] * mixture.gate)[known[0]].sum() + (weights[1] * mixture.log_share)[known[1]].sum()
    for one, two in zip(
        torch.autograd.grad(fast, leaves), torch.autograd.grad(torch.stack(expected).sum(), leaves), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_ranking_adds_what_training_adds(head: CopyHead) -> None:
    generator = torch.Generator().manual_seed(5)
    states, table = torch.randn(4, WIDTH, generator=generator), torch.randn(TRACKS + 3, WIDTH, generator=generator)
    every = torch.zeros(13, WIDTH)
    ends = [3, 4, 7, 12]
    every[ends] = states
    mass = Mass.of([head.added(states, batch_of(0), table)], TRACKS + 3)
    found = dict(zip(zip(mass.who.tolist(), mass.rows.tolist(), strict=True), mass.mass.tolist(), strict=True))
    expected = {
        (session, track): math.log(float(value.detach()))
        for session in range(4)
        for track, value in masses(head, every, table, session, len(SESSIONS[session]) - 1).items()
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(found) == sorted(found), "by session and then track"


def test_masses_of_several_heads_add_up(head: CopyHead) -> None:
    table, states = torch.randn(TRACKS + 3, WIDTH), torch.randn(4, WIDTH)
    added = head.added(states, batch_of(0), table)
    twice = Mass.of([added, replace(added, log_mass=added.log_mass + math.log(3.0))], TRACKS + 3)
    once = Mass.of([added], TRACKS + 3)
    assert torch.equal(twice.rows, once.rows)
    torch.testing.assert_close(twice.mass, once.mass + math.log(4.0))


def test_an_empty_session_has_nothing_to_copy(head: CopyHead) -> None:
    one = torch.zeros(1, dtype=torch.int64)
    batch = Batch(one, one + 5, one, torch.tensor([0, 1]), 1)
    added = head.added(torch.ones(1, WIDTH), batch, torch.ones(TRACKS + 3, WIDTH))
    assert len(added.tracks) == len(Mass.of([added], TRACKS + 3).rows) == 0
