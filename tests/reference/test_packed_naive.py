"""Packed examples hold exactly what padded ones hold, and the encoder gives the same states for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segue.batches.causal import causal_example
from segue.batches.cloze import cloze_example
from segue.batches.data import SessionData
from segue.batches.packed import Packing, PackShape, pack_causal, pack_cloze, window_lengths
from segue.columns import POSITION_OFFSET
from segue.encoders import build_encoder
from segue.encoders.attention import PackedAttention, padded_layout
from segue.encoders.causal import CausalConfig
from segue.encoders.cloze import ClozeConfig
from segue.encoders.transformer import TransformerEncoder
from segue.session_batch import SessionBatch

MAX_LEN = 6
LENGTHS = torch.tensor([2, 5, 9, 3, 7])
SPARE = 4


def _data() -> SessionData:
    generator = torch.Generator().manual_seed(0)
    end = LENGTHS.cumsum(0)
    rows = int(end[-1])
    return SessionData(
        torch.randint(3, 20, (rows,), generator=generator, dtype=torch.int32),
        torch.randint(0, 5, (rows,), generator=generator, dtype=torch.uint8),
        torch.arange(20, dtype=torch.int32),
        end - LENGTHS,
        end,
    )


def _packed(masked: bool, index: Tensor, offset: Tensor) -> tuple[Packing, Tensor, Tensor, Tensor]:
    """Return the packing, and tracks, targets (0 = none) and positions of the padded example."""
    data, width = _data(), MAX_LEN + (not masked)
    known = index[index >= 0]
    window = data.training_window(known, width)
    lengths = window_lengths(data, index, width)
    generator = torch.Generator().manual_seed(1)
    if masked:
        example = cloze_example(window, 0.4, MAX_LEN, generator, "literal")
        size = int(lengths.sum()) + SPARE
        chosen = torch.zeros(len(index), width, dtype=torch.bool)
        chosen[index >= 0] = example.targets
        packing = pack_cloze(data, index, PackShape(width, size, MAX_LEN), offset, chosen)
    else:
        example = causal_example(window, MAX_LEN, generator, "literal")
        size = int((lengths - 1).clamp(min=0).sum()) + SPARE
        packing = pack_causal(data, index, PackShape(width, size, MAX_LEN), offset)
    valid = example.batch.valid
    shift = ((offset[index >= 0] * (MAX_LEN - valid.sum(1) + 1)).long())[:, None]
    position = valid.long().cumsum(1) - 1 + shift
    target = example.target * example.targets
    assert example.batch.side[POSITION_OFFSET].sum() == 0
    return packing, example.batch.tracks, target[valid], position[valid]


@pytest.mark.parametrize("masked", [False, True])
def test_a_packing_holds_what_the_padded_example_holds(masked: bool) -> None:
    index = torch.tensor([4, 2, -1, 0, 1])
    packing, tracks, target, position = _packed(masked, index, torch.tensor([0.9, 0.0, 0.3, 0.99, 0.5]))
    num = len(position)
    read = torch.where(packing.masked, 2, packing.ids[: len(packing.masked)])
    assert torch.equal(read[:num], tracks[tracks > 0].int())
    assert torch.equal(packing.position[:num], position)
    assert torch.equal(packing.target[:num], target.int())
    has = packing.target > 0
    assert torch.equal(packing.ids[packing.target_place][has], packing.target[has])
    assert not packing.target[num:].any()
    assert not packing.ids[num : len(packing.target)].any()
    assert int(packing.start[-1]) == num
    assert packing.start[2] == packing.start[3]


@pytest.mark.parametrize("masked", [False, True])
def test_every_window_position_has_a_place_of_its_own_with_its_row(masked: bool) -> None:
    packing, *_ = _packed(masked, torch.tensor([1, 3, -1, 2]), torch.zeros(4))
    inside = packing.place >= 0
    assert torch.equal(inside.sum(1), window_lengths(_data(), torch.tensor([1, 3, -1, 2]), MAX_LEN + (not masked)))
    assert len(packing.place[inside].unique()) == int(inside.sum())
    assert torch.equal(packing.ids[packing.place[inside].long()], packing.tracks[inside])
    assert (packing.strength[~inside] == 5).all()
    assert (packing.strength[inside] < 5).all()


@pytest.mark.parametrize("config", [CausalConfig(width=16, heads=2, ffn_width=16), ClozeConfig(width=16, heads=2)])
def test_packed_states_are_padded_states(config: CausalConfig | ClozeConfig) -> None:
    encoder = build_encoder(config, 20, MAX_LEN, generator=torch.Generator().manual_seed(2))
    assert isinstance(encoder, TransformerEncoder)
    with torch.no_grad():
        encoder.table.weight.normal_(generator=torch.Generator().manual_seed(3))
    encoder.eval()
    valid = torch.arange(MAX_LEN) < torch.tensor([[3], [1], [6]])
    tracks = torch.randint(3, 20, valid.shape, generator=torch.Generator().manual_seed(4)) * valid
    place = torch.arange(MAX_LEN).expand_as(valid)
    grad = torch.randn(int(valid.sum()), 16, generator=torch.Generator().manual_seed(5))
    start = torch.nn.functional.pad(valid.sum(1).cumsum(0), (1, 0))
    layout = padded_layout(start, MAX_LEN, int(valid.sum()) + SPARE, causal=encoder.causal)
    rows, spots = (torch.nn.functional.pad(part[valid], (0, SPARE), value=7) for part in (tracks, place % 6))
    packed = encoder.states(encoder.table(rows), spots % 6, PackedAttention(layout, config.heads, 0.0))
    packed = packed[: int(valid.sum())]  # what is left over reads something, and must not be trained by it
    parameters = [value for name, value in encoder.named_parameters() if name != "table.weight"]
    mine = torch.autograd.grad(packed, parameters, grad)

    padded = encoder(SessionBatch(tracks, torch.full_like(tracks, 5), valid))[valid]
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-6)
    for one, other in zip(mine, torch.autograd.grad(padded, parameters, grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
