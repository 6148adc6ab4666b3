"""What a listener heard in earlier sessions, as one vector that the first position reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segue.axes import Bool, Float, Int
from segue.encoders.positions import position_rows


class EarlierInputs(nn.Module):
    """A weighted mean of earlier tracks, projected: how each was heard, and how long ago, says how much it weighs."""

    def __init__(self, width: int, num_feedback: int) -> None:
        super().__init__()
        self.heard = nn.Parameter(torch.zeros(num_feedback, width))
        self.weigh = nn.Parameter(torch.zeros(num_feedback, 1))
        self.fade = nn.Parameter(torch.zeros(()))
        """How much log(1 + tracks since) lowers the log weight."""
        self.project = nn.Linear(width, width, bias=False)

    def forward(
        self, rows: Float[Tensor, "B N D"], feedback: Int[Tensor, "B N"], real: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B D"]:
        """Return the vector of each session; 0 where nothing came earlier.

        Args:
            rows: table rows of the earlier tracks, the most recent last.
            feedback: how they were heard, codes.
            real: which of them there are.
        """
        since = torch.arange(rows.shape[1] - 1, -1, -1, device=rows.device)
        weight = position_rows(self.weigh, feedback)[:, :, 0] - self.fade * torch.log1p(since.float())
        share = torch.softmax(weight.masked_fill(~real, torch.finfo(weight.dtype).min), dim=1) * real
        heard = rows + position_rows(self.heard, feedback)
        mean = (share[:, :, None] * heard).sum(1)
        projected: Tensor = self.project(mean)
        return projected
