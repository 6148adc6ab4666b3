"""GRU4Rec, NextItNet and Caser equal loops written from their papers' equations, forward and backward; sizes too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segue.batch import Batch
from segue.model import Encoder
from segue.model.encoders.caser import HORIZONTAL, VERTICAL, WINDOW
from segue.model.encoders.nextitnet import DILATIONS, KERNEL
from segue.model.encoders.registry import ENCODER_CONFIGS
from support.small_models import encoder_of, padded_batch

MAX_LEN = 9
TRACKS = 11
WIDTH = 4
LENGTHS = (3, 9, 1, 6)

Rows = list[Tensor]
Loop = Callable[[Any, Rows], Rows]
"""An encoder and the rows of one session to a state for each."""


def built(kind: str, **settings: Any) -> Encoder:
    """Return a small encoder in float64 whose parameters are far enough from 0 to show."""
    config = ENCODER_CONFIGS[kind](**({"width": WIDTH} | settings))
    generator = torch.Generator().manual_seed(7)
    encoder = encoder_of(config, TRACKS, MAX_LEN, generator).double().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        encoder.table.weight[:2] = 0
    return encoder


def batch_of(left: bool = False) -> Batch:
    """Return sessions of unequal length, tracks repeated in them, padded on the right or the left."""
    tracks = torch.randint(3, TRACKS + 3, (len(LENGTHS), MAX_LEN), generator=torch.Generator().manual_seed(2))
    column = torch.arange(MAX_LEN).flip(0) if left else torch.arange(MAX_LEN)
    valid = column < torch.tensor(LENGTHS)[:, None]
    return padded_batch(tracks * valid, torch.full_like(tracks, 5), valid)


def each_session(batch: Batch, values: Tensor) -> Rows:
    """Return the values of the positions of each session."""
    return list(values.split(batch.lengths.tolist()))


def dot(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return matrix times vector, entry by entry."""
    return torch.stack([(row * vector).sum() for row in matrix])


# --- the papers' equations, a position after another --------------------------------------------------------


def gru4rec(encoder: Any, rows: Rows) -> Rows:
    """Hidasi et al. 2016, equations 1 to 4, the reset gate outside the product; torch keeps 1 - z."""
    (layer,) = encoder.layers
    w, u = layer.weight_ih_l0.chunk(3), layer.weight_hh_l0.chunk(3)
    b, c = layer.bias_ih_l0.chunk(3), layer.bias_hh_l0.chunk(3)
    h, states = torch.zeros(layer.hidden_size, dtype=torch.float64), []
    for x in rows:
        r = 1 / (1 + torch.exp(-(dot(w[0], x) + b[0] + dot(u[0], h) + c[0])))
        z = 1 - 1 / (1 + torch.exp(-(dot(w[1], x) + b[1] + dot(u[1], h) + c[1])))
        candidate = torch.tanh(dot(w[2], x) + b[2] + r * (dot(u[2], h) + c[2]))
        h = (1 - z) * h + z * candidate
        states.append(h)
    return states


def nextitnet(encoder: Any, rows: Rows) -> Rows:
    """Yuan et al. 2019, section 3.4 and figure 3b: dilations d and 2 d, norm, ReLU, the sum with the input."""
    x = rows
    for dilation, block in zip(DILATIONS, encoder.blocks, strict=True):
        hidden = convolved(block.near, block.near_norm, x, dilation)
        hidden = convolved(block.far, block.far_norm, hidden, 2 * dilation)
        x = [a + b for a, b in zip(x, hidden, strict=True)]
    return x


def convolved(layer: nn.Conv1d, norm: nn.LayerNorm, x: Rows, dilation: int) -> Rows:
    """Return relu(norm(b + the sum of W_k x_(i - k d))); the last tap lies on i itself."""
    taps = layer.weight.shape[2]
    outputs = []
    for i in range(len(x)):
        total = layer.bias
        for back in range(taps):
            if i - back * dilation >= 0:
                total = total + dot(layer.weight[:, :, taps - 1 - back], x[i - back * dilation])
        centred = total - total.mean()
        normed = centred / torch.sqrt((centred**2).mean() + norm.eps) * norm.weight + norm.bias
        outputs.append(normed * (normed > 0))
    return outputs


def caser(encoder: Any, rows: Rows) -> Rows:
    """Tang & Wang 2018, equations 3 to 9, without the user."""
    window, outputs = WINDOW, []
    for i in range(len(rows)):
        nothing = torch.zeros_like(rows[0])
        seen = [rows[j] if j >= 0 else nothing for j in range(i - window + 1, i + 1)]
        features = []
        for height, layer in enumerate(encoder.horizontal, start=1):
            for f in layer.weight:  # [D, height]
                places = range(window - height + 1)
                answers = [sum((f[:, k] * seen[at + k]).sum() for k in range(height)) for at in places]
                features.append(torch.stack([torch.relu(answer) for answer in answers]).max())
        for g in encoder.vertical.weight:
            features += list(sum(share * row for share, row in zip(g, seen, strict=True)))
        z = dot(encoder.predict.weight, torch.stack(features)) + encoder.predict.bias
        outputs.append((torch.exp(2 * z) - 1) / (torch.exp(2 * z) + 1))
    return outputs


CASES: list[tuple[str, Loop]] = [("gru4rec", gru4rec), ("nextitnet", nextitnet), ("caser", caser)]


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize(("kind", "loop"), CASES)
def test_an_encoder_equals_its_papers_equations(kind, loop, left):
    encoder, batch = built(kind), batch_of(left)
    weight = torch.randn((MAX_LEN, WIDTH), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    fast = each_session(batch, encoder(batch))
    rows = each_session(batch, encoder.table.weight[batch.tracks])
    slow = [torch.stack(loop(encoder, list(of_session))) for of_session in rows]
    gradients = []
    for sides in (fast, slow):
        total = sum((state * weight[: len(state)]).sum() for state in sides)
        gradients.append(torch.autograd.grad(total, list(encoder.parameters())))
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other)
    for (name, _), one, other in zip(encoder.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("kind", "loop"), CASES)
def test_the_next_state_is_that_of_the_last_track(kind, loop):
    encoder, batch = built(kind), batch_of()
    last = [states[-1] for states in each_session(batch, encoder(batch))]
    assert torch.equal(encoder.next_state(batch), torch.stack(last))


def test_gru4rec_is_the_papers_letter_where_its_recurrence_mixes_no_units():
    """r * (U h) = U (r * h) for a diagonal U: there, and without biases, the forms of the paper and of cuDNN agree."""
    encoder, batch = built("gru4rec"), batch_of()
    layer = encoder.layers[0]
    with torch.no_grad():
        layer.weight_hh_l0[2 * WIDTH :] = torch.diag(torch.tensor([0.7, -1.2, 0.4, 2.0], dtype=torch.float64))
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    (w_r, w_z, w), (u_r, u_z, u) = layer.weight_ih_l0.chunk(3), layer.weight_hh_l0.chunk(3)
    rows = each_session(batch, encoder.table.weight[batch.tracks])
    for of_session, states in zip(rows, each_session(batch, encoder(batch)), strict=True):
        h = torch.zeros(WIDTH, dtype=torch.float64)
        for x, state in zip(of_session, states, strict=True):
            r = torch.sigmoid(w_r @ x + u_r @ h)
            z = torch.sigmoid(-(w_z @ x + u_z @ h))  # the paper's z weighs the candidate, torch's the state kept
            h = (1 - z) * h + z * torch.tanh(w @ x + u @ (r * h))
            torch.testing.assert_close(state, h)


# --- sizes ---------------------------------------------------------------------------------------------------


def size(encoder: Encoder) -> int:
    """Return the number of parameters beside the track table."""
    return sum(p.numel() for name, p in encoder.named_parameters() if name != "table.weight")


@pytest.mark.parametrize("width", [4, 6])
def test_the_size_of_gru4rec_is_its_papers(width):
    """W and U [D, D] for each of three parts and two biases."""
    assert size(built("gru4rec", width=width)) == 3 * (2 * width * width + 2 * width)


@pytest.mark.parametrize("width", [4, 6])
def test_the_size_of_nextitnet_is_its_papers(width):
    """Two convolutions a block (k D D + D) with a norm each (2 D), whatever the dilation; no output matrix."""
    expected = len(DILATIONS) * 2 * (KERNEL * width * width + width + 2 * width)
    assert size(built("nextitnet", width=width)) == expected


@pytest.mark.parametrize("width", [4, 6])
def test_the_size_of_caser_is_its_papers(width):
    """n filters [h, D] of each height, n~ filters [L], then W [D, n L + D n~] and b."""
    expected = sum(HORIZONTAL * height * width for height in range(1, WINDOW + 1)) + VERTICAL * WINDOW
    expected += width * (HORIZONTAL * WINDOW + VERTICAL * width) + width
    assert size(built("caser", width=width)) == expected
