"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

STEPS: Final = 2**16
"""Shares are rounded to 1 / STEPS on a CPU."""


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Return `x` with a random `share` of its values 0 and the others divided by 1 - share; `x` where not training.

    As `torch.nn.functional.dropout`, which CUDA tensors get. On a CPU that one draws a number a value (a fifth of a
    training step); here a 64-bit draw serves four values. Draws come from torch's global generator.
    """
    if not training or share == 0.0:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, share)
    return x * keep_mask(x.shape, share).to(x.dtype).mul_(1.0 / (1.0 - share))


def keep_mask(shape: torch.Size, share: float) -> Tensor:
    """Return a boolean tensor on the CPU, False at a random `share` of its places."""
    size = shape.numel()
    drawn = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    # 16 random bits a value, as a signed number: the lowest `share` of its range is dropped
    return drawn.view(torch.int16)[:size].view(shape) >= round(share * STEPS) - STEPS // 2
