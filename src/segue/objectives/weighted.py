"""The weighted mean of the parts of a loss."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

from torch import Tensor


def combine(parts: Mapping[str, tuple[float, Tensor]]) -> Tensor:
    """Return sum(weight * loss) / sum(weight) over named `(weight, loss)` parts, scalar.

    With two parts this is (alpha * skip_contrastive + beta * next_track) / (alpha + beta)
    (Seshadri & Knees 2023, section 3.6).

    Raises:
        ValueError: no parts, or weights that do not sum to a positive number.

    >>> import torch
    >>> combine({"next_track": (1.0, torch.tensor(4.0)), "skip_contrastive": (3.0, torch.tensor(8.0))})
    tensor(7.)
    """
    total = sum(weight for weight, _ in parts.values())
    if not total > 0:
        raise ValueError("weights must sum to a positive number")
    return reduce(add, [loss * (weight / total) for weight, loss in parts.values()])
