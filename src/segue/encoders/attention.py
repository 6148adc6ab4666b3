"""Self-attention among the tracks of a session: over padded sessions, and over packed ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.encoders.dropout import dropout


@dataclass(frozen=True)
class PaddedAttention:
    """Attention over sessions of equal length, padded; the reference of the other forms."""

    visible: Bool[Tensor, "B 1 L L"]
    """Which keys each query sees."""
    heads: int
    dropout: float
    """Share of attention weights dropped."""

    def __call__(self, qkv: Float[Tensor, "B L E"], block: int) -> Float[Tensor, "B L D"]:
        """Return what each position reads of the others; E = 3 D: queries, keys, values."""
        batch, length, width = qkv.shape
        parts = qkv.view(batch, length, 3, self.heads, width // 3 // self.heads).permute(2, 0, 3, 1, 4)
        mixed = _mix(parts[0], parts[1], parts[2], self.visible, self.dropout)
        return mixed.transpose(1, 2).reshape(batch, length, width // 3)


@dataclass(frozen=True)
class PackedAttention:
    """Attention over sessions that lie one after another: they are padded for the products alone."""

    slot: Int[Tensor, " T"]
    """b * L + i of the i-th input of session b."""
    visible: Bool[Tensor, "B 1 L L"]
    heads: int
    dropout: float

    def __call__(self, qkv: Float[Tensor, "T E"], block: int) -> Float[Tensor, "T D"]:
        """Return what each position reads of the others of its session."""
        batch, length = self.visible.shape[0], self.visible.shape[2]
        padded = qkv.new_zeros(batch * length, qkv.shape[1]).index_copy(0, self.slot, qkv)
        mixed = PaddedAttention(self.visible, self.heads, self.dropout)(padded.view(batch, length, -1), block)
        return mixed.reshape(batch * length, -1)[self.slot]


def _mix(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, share: float) -> Tensor:
    """Return the values each query attends to, [B, H, L, D / H]."""
    if share == 0.0 or query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=share)
    # with dropout torch's own form is these lines with a slower mask
    scores = (query @ key.transpose(2, 3)) * query.shape[3] ** -0.5
    weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=3)
    return dropout(weights, share, True) @ value


def visibility(valid: Bool[Tensor, "B L"], *, causal: bool) -> Bool[Tensor, "B 1 L L"]:
    """Return which keys each query sees: valid ones (not later ones if causal), and always itself.

    That a padded query sees itself keeps its softmax finite; nobody sees a padded key but that query.
    """
    length = valid.shape[1]
    seen = valid[:, None, :].expand(-1, length, -1)
    if causal:
        seen = seen & torch.ones(length, length, dtype=torch.bool, device=valid.device).tril()
    return (seen | torch.eye(length, dtype=torch.bool, device=valid.device))[:, None]
