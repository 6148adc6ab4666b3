"""What one training step learns from: inputs, targets, and where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.session_batch import SessionBatch


@dataclass(frozen=True)
class Example:
    """Inputs of B sessions and the track to predict at each position."""

    batch: SessionBatch
    """With `position_offset` in its side inputs."""
    target: Int[Tensor, "B L"]
    """Table row to predict; anything where `targets` is False."""
    targets: Bool[Tensor, "B L"]
    target_feedback: Int[Tensor, "B L"]
    """Feedback code of the target; anything where `targets` is False. It is no input."""
    drawn: Mapping[int, Tensor] = field(default_factory=dict)
    """What the recipe's terms drew, by their place in it, where they draw."""


def position_offset(
    valid: Bool[Tensor, "B L"], max_len: int, generator: torch.Generator, position: str
) -> Int[Tensor, " B"]:
    """Return the shift of each session's positions: uniform in 0..max_len - n_input, or 0 if `position` is literal.

    Without the shift the last position rows would be used at inference but never trained (method, section 3).
    """
    num_inputs = valid.sum(dim=1)
    if position == "literal":
        return torch.zeros_like(num_inputs)
    drawn = torch.rand(len(num_inputs), generator=generator, device=valid.device)
    return random_offset(drawn, num_inputs, max_len)


def random_offset(drawn: Float[Tensor, " B"], num_inputs: Int[Tensor, " B"], max_len: int) -> Int[Tensor, " B"]:
    """Return an offset in 0..max_len - n_input for each session, of numbers drawn uniformly from [0, 1)."""
    room = (max_len - num_inputs).clamp(min=0)
    return (drawn * (room + 1)).long().minimum(room)
