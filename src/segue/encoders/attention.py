"""Self-attention among the tracks of a session: over padded sessions, and over packed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.encoders.dropout import dropout, keep_mask


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
        kept = None
        if self.dropout > 0.0:
            sessions, _, length, _ = self.visible.shape
            kept = keep_mask(torch.Size((sessions, self.heads, length, length)), self.dropout)
        mixed: Tensor = _Mix.apply(qkv, self.slot, self.visible, self.heads, kept, self.dropout)  # type: ignore[no-untyped-call]
        return mixed


class _Mix(torch.autograd.Function):
    """`PaddedAttention` over packed sessions, its gradient written out.

    Autograd would fill and add whole tensors for each of queries, keys and values, and its softmax gradient goes row by
    row; rows are sessions of some twenty tracks, so that costs more than the products.
    """

    @staticmethod
    def forward(
        context: Any, qkv: Tensor, slot: Tensor, visible: Tensor, heads: int, kept: Tensor | None, share: float
    ) -> Tensor:
        sessions, length, width = visible.shape[0], visible.shape[2], qkv.shape[1] // 3
        padded = qkv.new_zeros(sessions * length, 3 * width).index_copy_(0, slot, qkv)
        split = padded.view(sessions, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4).contiguous()
        query, key, value = split.view(3, sessions * heads, length, width // heads)
        scores = torch.bmm(query, key.transpose(1, 2)).view(sessions, heads, length, length).float()
        scores.mul_((width // heads) ** -0.5).masked_fill_(~visible, -torch.inf)
        weights = scores.softmax(3)
        dropped = weights if kept is None else weights * kept
        if kept is not None:
            dropped.mul_(1.0 / (1.0 - share))
        dropped = dropped.to(qkv.dtype).view(sessions * heads, length, length)
        context.save_for_backward(query, key, value, weights, dropped, kept, slot)
        context.share = share
        mixed = torch.bmm(dropped, value).view(sessions, heads, length, -1).transpose(1, 2)
        return mixed.reshape(sessions * length, width).index_select(0, slot)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, key, value, weights, dropped, kept, slot = context.saved_tensors
        sessions, heads, length, _ = weights.shape
        width = grad.shape[1]
        padded = grad.new_zeros(sessions * length, width).index_copy_(0, slot, grad)
        above = padded.view(sessions, length, heads, width // heads).transpose(1, 2).reshape(query.shape)
        of_split = torch.empty((3, *query.shape), dtype=grad.dtype)
        torch.bmm(dropped.transpose(1, 2), above, out=of_split[2])
        of_weights = torch.bmm(above, value.transpose(1, 2)).view(weights.shape).float()
        if kept is not None:
            of_weights.mul_(kept).mul_(1.0 / (1.0 - context.share))
        of_weights.mul_(weights)
        # a product with ones adds up short rows faster than a sum does
        total = of_weights.view(-1, length) @ torch.ones(length, 1)
        of_scores = of_weights.addcmul_(weights, total.view(sessions, heads, length, 1), value=-1.0)
        of_scores = of_scores.mul_((width // heads) ** -0.5).to(grad.dtype).view(dropped.shape)
        torch.bmm(of_scores, key, out=of_split[0])
        torch.bmm(of_scores.transpose(1, 2), query, out=of_split[1])
        joined = of_split.view(3, sessions, heads, length, -1).permute(1, 3, 0, 2, 4).reshape(sessions * length, -1)
        return joined.index_select(0, slot), None, None, None, None, None


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
