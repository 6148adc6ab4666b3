"""The rank of a target among rivals: ties count half, NaN ranks last."""

from __future__ import annotations

from torch import Tensor

from segue.axes import Bool, Float, Int


def target_rank(
    target: Float[Tensor, " B"], rivals: Float[Tensor, "B K"], present: Bool[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """Return 1 + #not(score <= target) + #equal / 2 over the present rivals, not rounded, float64.

    A NaN rival counts above; a NaN target ranks after every rival. Constant scores give 1 + K / 2: no hits.

    >>> import torch
    >>> rivals = torch.tensor([[3.0, 2.0, 2.0, 1.0]])
    >>> target_rank(torch.tensor([2.0]), rivals, torch.ones(1, 4, dtype=torch.bool))  # one above, two equal
    tensor([3.], dtype=torch.float64)
    """
    target_column = target[:, None]
    above = (~(rivals <= target_column) & present).sum(dim=1)
    equal = ((rivals == target_column) & present).sum(dim=1)
    return rank_of(above, equal)


def rank_of(above: Int[Tensor, "*shape"], equal: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the rank of targets by the numbers of rivals above and equal: ties count half, float64."""
    return 1.0 + above.double() + equal.double() / 2
