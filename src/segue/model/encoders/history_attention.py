"""Self-attention over long sequences: the histories of listeners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from segue.axes import Float
from segue.batch import Batch

BASE: Final = 10_000.0
"""A pair of values turns by 1 radian a place at first, by nearly 1 / BASE at last."""


@dataclass(frozen=True)
class HistoryAttention:
    """Each place reads itself and those before it in its sequence; no weight is dropped.

    Queries and keys are turned by an angle that grows with the place (Su et al. 2021), so that a product depends on how
    far apart two places are.
    """

    sequences: Batch
    heads: int
    """H."""
    num_pairs: int
    """K, half the width of a head."""

    def __call__(self, qkv: Float[Tensor, "T E"], block: int) -> Float[Tensor, "T D"]:
        """Return what each place reads of the others of its sequence; E = 3 D: queries, keys, values."""
        source, _ = self.sequences.cells
        width = qkv.shape[1] // 3
        parts = self._turned(qkv)[source].view(*source.shape, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)  # padding comes last: nobody reads it
        return mixed.transpose(1, 2).reshape(-1, width).index_select(0, self.sequences.slot).to(qkv.dtype)

    def _turned(self, qkv: Float[Tensor, "T E"]) -> Float[Tensor, "T E"]:
        """Return queries and keys turned by their places, and values as they are."""
        if qkv.device.type == "cpu":
            qkv = qkv.float()  # attention in bfloat16 takes twice as long there
        parts = qkv.view(len(qkv), 3, self.heads, 2, -1)
        cos, sin = self._turns
        one, other = parts[:, :2, :, 0], parts[:, :2, :, 1]
        turned = torch.stack((one * cos - other * sin, one * sin + other * cos), 3).to(qkv.dtype)
        return torch.cat((turned.flatten(1), qkv[:, 2 * qkv.shape[1] // 3 :]), 1)

    @cached_property
    def _turns(self) -> tuple[Float[Tensor, "T one one K"], Float[Tensor, "T one one K"]]:
        """Cosine and sine of the angles of each place."""
        batch = self.sequences
        sequence = batch.session.clamp(max=batch.num_sessions - 1)
        place = torch.arange(len(batch.tracks), device=batch.tracks.device) - batch.offsets[sequence]
        pairs = torch.arange(self.num_pairs, device=place.device) / self.num_pairs
        angle = (place[:, None] * BASE**-pairs)[:, None, None]
        return angle.cos(), angle.sin()
