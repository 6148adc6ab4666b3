"""What heads know of the training rows: counts, no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.axes import Int


@dataclass(frozen=True)
class Counts:
    """Counts over the training parts of R = V + 3 table rows."""

    plays: Int[Tensor, " R"]
    """Plays of known feedback, int32."""
    listens: Int[Tensor, " R"]
    """Those that were listened to, int32."""
    followed: Int[Tensor, " R"]
    """How often each track was followed by another in its session, int32."""
    pairs: Int[Tensor, " N"]
    """Distinct transitions, row * R + row that followed, ascending, int64."""
    times: Int[Tensor, " N"]
    """How often each was made, int32."""

    @classmethod
    def nothing(cls, num_rows: int) -> Counts:
        """Return the counts of no training rows."""
        zeros = torch.zeros(num_rows, dtype=torch.int32)
        return cls(zeros, zeros.clone(), zeros.clone(), torch.zeros(0, dtype=torch.int64), zeros[:0].clone())
