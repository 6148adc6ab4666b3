"""What crosses from data to encoders: a frozen batch of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from segue.axes import Bool, Int


@dataclass(frozen=True)
class SessionBatch:
    """B sessions of at most L positions, in listening order.

    `tracks` holds table rows (0 PAD, 1 UNKNOWN, 2 MASK, tracks from 3); `feedback` 0..3 = strength, 4 unknown,
    5 hidden (masked, padded, or to be predicted); `valid` is False on padding. Padding may stand on either
    side: positions count from the first valid track. `side` holds further inputs by column name ([B] or [B, L]).
    """

    tracks: Int[Tensor, "B L"]
    feedback: Int[Tensor, "B L"]
    valid: Bool[Tensor, "B L"]
    side: Mapping[str, Tensor] = field(default_factory=dict)
