"""Kernels for ranking by device."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kernels:
    """GPU kernels; each equals a plain function of this package."""

    dots: Callable[[Tensor, Tensor, Tensor], Tensor]
    """`plain_dots`."""
    count: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """`plain_count`."""


def kernels(device: torch.device) -> Kernels | None:
    """Return the kernels of `device`; None = use the plain functions."""
    return _triton() if device.type == "cuda" else None


@cache
def _triton() -> Kernels | None:
    if importlib.util.find_spec("triton") is None:
        return None
    from segue.kernels import ranking

    return Kernels(ranking.dots, ranking.count)
