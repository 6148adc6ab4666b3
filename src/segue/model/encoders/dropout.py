"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

STEPS: Final = 2**15
"""Shares are rounded to 1 / STEPS on a CPU."""
_BITS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as a value, by its bytes."""


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Return `x` with a random `share` of its values 0 and the others divided by 1 - share; `x` where not training.

    CUDA tensors go to `torch.nn.functional.dropout`. On a CPU that function draws a number for each value and
    multiplies by a mask; here a 64-bit draw serves four values, and dropped values are masked bit by bit.
    """
    if not training or share == 0.0:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, share)
    dropped: Tensor = _Dropout.apply(x, share)  # type: ignore[no-untyped-call]
    return dropped


def keep_bits(shape: torch.Size, share: float) -> Tensor:
    """Return an int16 tensor on the CPU: 0 at a random `share` of its places, -1 (all bits) elsewhere.

    The draws are those of a generator seeded from torch's global one.
    """
    size = shape.numel()
    seed = int(torch.randint(2**62, ()))
    words = np.random.Generator(np.random.SFC64(seed)).integers(0, 2**64 - 1, (size + 3) // 4, np.uint64, endpoint=True)
    random_bits = torch.from_numpy(words.view(np.int16)[:size]).view(shape)
    # 15 random bits a value, taken from the lowest number that is kept: what is negative then has its sign spread
    return (
        random_bits.bitwise_and_(STEPS - 1)
        .neg_()
        .add_(round(share * STEPS) - 1)
        .bitwise_right_shift_(STEPS.bit_length() - 1)
    )


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, share: float) -> Tensor:
        bits = keep_bits(x.shape, share)
        context.save_for_backward(bits)
        context.share = share
        return _cut(x, bits, share)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None]:
        (bits,) = context.saved_tensors
        return _cut(grad.contiguous(), bits, context.share), None


def _cut(x: Tensor, bits: Tensor, share: float) -> Tensor:
    kind = _BITS[x.element_size()]
    return (x.view(kind) & bits.to(kind)).view(x.dtype).mul_(1.0 / (1.0 - share))
