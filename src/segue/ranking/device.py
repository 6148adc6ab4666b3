"""Which devices have kernels of their own for ranking."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kernels:
    """What a GPU does in one pass; each equals a plain function of this package."""

    dots: Callable[[Tensor, Tensor, Tensor], Tensor]
    """`plain_dots`."""
    count: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """`plain_count`."""


def kernels(device: torch.device) -> Kernels | None:
    """Return the kernels of `device`; None where the plain functions serve."""
    return _triton() if device.type == "cuda" else None


@cache
def _triton() -> Kernels | None:
    if importlib.util.find_spec("triton") is None:
        return None
    from segue.kernels import ranking

    return Kernels(ranking.dots, ranking.count)
