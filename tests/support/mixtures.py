"""What tests of mixed softmaxes share: masses of a known distribution, and how its loss and that without it weigh."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.objectives.softmax import softmax_losses

Masses = tuple[Tensor, Tensor] | None
Weights = tuple[float, float] | None
"""Of the gradients in the scores of the mixture and of the softmax without it; None: no mixture."""
WEIGHTS: tuple[Weights, ...] = (None, (1.0, 0.0), (0.0, 1.0), (1.0, 0.5))


def masses(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return gates h [T], and what h is added to: log p of the target and log of all of p, some of them nothing."""
    share = torch.rand(tokens, generator=torch.Generator().manual_seed(8))
    of_target = torch.where(share > 0.4, share.log(), -1e30)
    gate = torch.randn(tokens, generator=torch.Generator().manual_seed(9))
    return gate, of_target, torch.where(share > 0.2, 0.0, -1e30)


def mixed_losses(own: Tensor, others: Tensor, known: Masses, weights: Weights) -> Tensor:
    """Return the plain losses of such a mixture."""
    flow, alone = weights or (1.0, 0.0)
    return softmax_losses(own, others, known, flow=flow > 0.0, alone=alone)
