"""Self-attention among the tracks of a session: over padded sessions, and over packed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.encoders.dropout import dropout, keep_bits


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
class PaddedLayout:
    """Where T packed inputs lie among B sessions of L places."""

    slot: Int[Tensor, " T"]
    """b * L + i of the i-th input of session b; 0 for inputs past the last session."""
    num_inputs: int
    """Inputs that belong to a session."""
    source: Int[Tensor, " S"]
    """The input of each of the B * L places; any input where there is none."""
    real: Bool[Tensor, "B L"]
    """Where there is one."""
    hidden: Float[Tensor, "B one L L"]
    """What is added to scores: 0 where a query sees a key, else -inf."""


def padded_layout(start: Int[Tensor, " Bs"], longest: int, size: int, *, causal: bool) -> PaddedLayout:
    """Return the layout of sessions whose inputs are start[b]..start[b + 1] - 1, at most `longest` each.

    `size`: T, at least start[-1].
    """
    column = torch.arange(longest, device=start.device)
    real = column < (start[1:] - start[:-1])[:, None]
    source = (start[:-1, None] + column).masked_fill(~real, 0).flatten()
    unseen = torch.zeros((), device=start.device).masked_fill(~visibility(real, causal=causal), -torch.inf)
    slot = torch.nonzero(real.flatten())[:, 0]
    spare = functional.pad(slot, (0, size - len(slot)))
    return PaddedLayout(spare, len(slot), source, real, unseen)


@dataclass(frozen=True)
class PackedAttention:
    """Attention over sessions that lie one after another: they are padded for the products alone."""

    layout: PaddedLayout
    heads: int
    dropout: float

    def __call__(self, qkv: Float[Tensor, "T E"], block: int) -> Float[Tensor, "T D"]:
        """Return what each position reads of the others of its session."""
        real = self.layout.real
        sessions, length = real.shape
        kept = real.float()[:, None, :, None]  # a query that is none gives and gets nothing
        if self.dropout > 0.0:
            bits = keep_bits(torch.Size((sessions, self.heads, length, length)), self.dropout)
            kept = bits.float().mul_(kept / (self.dropout - 1.0))  # -1 where kept
        mixed: Tensor = _Mix.apply(qkv, self.layout, self.heads, kept)  # type: ignore[no-untyped-call]
        return mixed


class _Mix(torch.autograd.Function):
    """`PaddedAttention` over packed sessions, its gradient written out.

    Autograd would fill and add whole tensors for each of queries, keys and values, and its softmax gradient goes row by
    row; rows are sessions of some twenty tracks, so that costs more than the products.
    """

    @staticmethod
    def forward(context: Any, qkv: Tensor, layout: PaddedLayout, heads: int, kept: Tensor) -> Tensor:
        sessions, length = layout.real.shape
        width = qkv.shape[1] // 3
        padded = qkv.index_select(0, layout.source).view(sessions, length, 3, heads, width // heads)
        query, key, value = padded.permute(2, 0, 3, 1, 4).reshape(3, sessions * heads, length, width // heads)
        scores = torch.bmm(query, key.transpose(1, 2)).view(sessions, heads, length, length).float()
        weights = scores.mul_((width // heads) ** -0.5).add_(layout.hidden).softmax(3)
        dropped = (weights * kept).to(qkv.dtype).view(sessions * heads, length, length)
        context.save_for_backward(query, key, value, weights, dropped, kept)
        context.layout = layout
        mixed = torch.bmm(dropped, value).view(sessions, heads, length, -1).transpose(1, 2)
        return mixed.reshape(sessions * length, width).index_select(0, layout.slot)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        query, key, value, weights, dropped, kept = context.saved_tensors
        sessions, heads, length, _ = weights.shape
        width = grad.shape[1]
        padded = grad.index_select(0, context.layout.source).view(sessions, length, heads, width // heads)
        above = padded.transpose(1, 2).reshape(query.shape)
        of_split = torch.empty((3, *query.shape), dtype=grad.dtype)
        torch.bmm(dropped.transpose(1, 2), above, out=of_split[2])
        of_weights = torch.bmm(above, value.transpose(1, 2)).view(weights.shape).float()
        of_weights.mul_(kept).mul_(weights)
        # a product with ones adds up short rows faster than a sum does
        total = of_weights.view(-1, length) @ torch.ones(length, 1)
        of_scores = of_weights.addcmul_(weights, total.view(sessions, heads, length, 1), value=-1.0)
        of_scores = of_scores.mul_((width // heads) ** -0.5).to(grad.dtype).view(dropped.shape)
        torch.bmm(of_scores, key, out=of_split[0])
        torch.bmm(of_scores.transpose(1, 2), query, out=of_split[1])
        joined = of_split.view(3, sessions, heads, length, -1).permute(1, 3, 0, 2, 4).reshape(sessions * length, -1)
        of_qkv = joined.index_select(0, context.layout.slot)
        of_qkv[context.layout.num_inputs :] = 0.0
        return of_qkv, None, None, None


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
