"""The flash attention of a GPU equals padded attention, forward and backward, and gives the same bytes twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segue.model.encoders.attention import AttentionConfig, PaddedAttention, visibility

if not torch.cuda.is_available():
    pytest.skip("no CUDA device: flash attention was not tested here", allow_module_level=True)

from segue.kernels.flash_attention import flash_attention

WIDTH, HEADS = 32, 2


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to("cuda")


def _close(one: Tensor, other: Tensor, tolerance: float) -> None:
    assert float((one - other).norm()) <= tolerance * float(other.norm())


@pytest.mark.parametrize("lengths", [[3, 1, 0, 7, 2], [300, 1, 64, 0, 0]])
def test_flash_attention_is_padded_attention(lengths: list[int]) -> None:
    start = torch.tensor([0, *lengths], device="cuda").cumsum(0)
    num, longest = int(start[-1]) + 5, max(lengths) + 9
    qkv = _normal(num, 3 * WIDTH).bfloat16().requires_grad_()
    toward = _normal(num, WIDTH, seed=1)

    def gradient() -> tuple[Tensor, Tensor]:
        mixed = flash_attention(qkv, start.int(), HEADS, longest)
        return mixed, torch.autograd.grad(mixed, qkv, toward.bfloat16())[0]

    mixed, of_qkv = gradient()
    assert not mixed[start[-1] :].any()
    assert not of_qkv[start[-1] :].any()
    config = AttentionConfig(HEADS, causal=True, dropout=0.0)
    plain = qkv.detach().float().requires_grad_()
    for begin, length in zip(start.tolist(), lengths, strict=False):
        if length:
            visible = visibility(torch.ones(1, length, dtype=torch.bool, device="cuda"), causal=True)
            alone = PaddedAttention(visible, config)(plain[None, begin : begin + length], 0)[0]
            alone.backward(toward[begin : begin + length])
            _close(mixed[begin : begin + length].float(), alone, 2e-2)
    assert plain.grad is not None
    _close(of_qkv.float(), plain.grad, 3e-2)
    assert torch.equal(gradient()[1], of_qkv)
