"""Inputs beside the tracks: an embedding each, added to the row of the track."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.axes import Float, Int
from segue.encoders.positions import position_rows


class ContextInputs(nn.Module):
    """The sum of the embeddings of C codes; of each input the last code stands for what is not known."""

    def __init__(self, names: Sequence[str], sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.tables = nn.ParameterList(torch.zeros(size + 1, width) for size in sizes)

    def forward(self, codes: Int[Tensor, "*shape C"]) -> Float[Tensor, "*shape D"]:
        """Return what is added to each row."""
        added = [position_rows(table, codes[..., place]) for place, table in enumerate(self.tables)]
        return torch.stack(added).sum(0)

    def unknown(self, like: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape C"]:
        """Return codes of the shape of `like` that say that nothing is known."""
        codes = torch.tensor([len(table) - 1 for table in self.tables], device=like.device)
        return codes.expand(*like.shape, -1)
