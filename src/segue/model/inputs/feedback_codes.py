"""An embedding of the feedback code of each track, added to its row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segue import skips
from segue.batch import Batch
from segue.model.inputs.input import Input
from segue.model.small_table import small_table_rows


@dataclass(frozen=True)
class FeedbackConfig:
    """Read the feedback of each track: six codes (strength 0..3, unknown, hidden).

    The feedback of a track that is to be predicted is never read: it comes later (causal), or is hidden (cloze).
    """


class FeedbackInput(Input):
    """row of the track + embedding of its feedback."""

    config_type = FeedbackConfig
    only_causal = False
    reads_feedback = True

    def __init__(self, config: FeedbackConfig, width: int) -> None:
        super().__init__(config, width)
        self.weight = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK, width))

    def forward(self, rows: Tensor, feedback: Tensor, batch: Batch | None) -> Tensor:
        """Return the rows with the embeddings of their feedback."""
        return rows + small_table_rows(self.weight, feedback)
