"""Parts of a loss into one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def combine(parts: Mapping[str, tuple[float, Tensor]]) -> Tensor:
    """Return sum(weight * loss) / sum(weight) over named `(weight, loss)` parts, scalar.

    With two parts this is (alpha * skip_contrastive + beta * next_track) / (alpha + beta)
    (Seshadri & Knees 2023, section 3.6).

    Raises:
        ValueError: no parts, or weights that do not sum to a positive number.
    """
    whole = sum(weight for weight, _ in parts.values())
    if not whole > 0:
        raise ValueError("weights must sum to a positive number")
    (first_weight, first), *others = parts.values()
    result = first * (first_weight / whole)
    for weight, loss in others:
        result = result + loss * (weight / whole)
    return result
