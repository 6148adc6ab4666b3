"""Transformer blocks: self-attention and a feed-forward layer, post-norm (the paper) or pre-norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Bool, Float
from segue.encoders.dropout import dropout


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a transformer encoder; the defaults are the paper's."""

    width: int = 128
    """D, of rows and states."""
    blocks: int = 2
    """Number of blocks."""
    heads: int = 8
    """H, attention heads; divides width."""
    dropout: float = 0.2
    """Share of values dropped in training."""
    norm: Literal["post", "pre"] = "post"
    """Layer norm after each residual sum (the paper) or before each layer."""
    ffn_width: int = 128
    """Width of the feed-forward layer."""
    activation: Literal["relu", "gelu"] = "relu"
    """Of the feed-forward layer."""
    position: Literal["shifted", "literal"] = "shifted"
    """Positions in training: shifted by a uniform offset, so that every row is trained, or literally from 0."""

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.heads, self.ffn_width) < 1:
            raise ValueError("width, blocks, heads and ffn_width must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in [0, 1)")


class Block(nn.Module):
    """One transformer block over [B, L, D]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout, self.pre_norm = config.heads, config.dropout, config.norm == "pre"
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.ffn_width)
        self.narrow = nn.Linear(config.ffn_width, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = functional.relu if config.activation == "relu" else functional.gelu

    def forward(self, x: Float[Tensor, "B L D"], visible: Bool[Tensor, "B 1 L L"]) -> Float[Tensor, "B L D"]:
        """Return the block's output; query q sees key k where `visible[b, 0, q, k]`."""
        if self.pre_norm:
            x = x + self._drop(self._attend(self.attention_norm(x), visible))
            return x + self._drop(self._feed(self.feed_norm(x)))
        x = self.attention_norm(x + self._drop(self._attend(x, visible)))
        normed: Tensor = self.feed_norm(x + self._drop(self._feed(x)))
        return normed

    def _attend(self, x: Float[Tensor, "B L D"], visible: Bool[Tensor, "B 1 L L"]) -> Float[Tensor, "B L D"]:
        batch, length, width = x.shape
        parts = self.project_in(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = self._mix(parts[0], parts[1], parts[2], visible)
        joined: Tensor = self.project_out(mixed.transpose(1, 2).reshape(batch, length, width))
        return joined

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
        """Return the values each query attends to, [B, H, L, D / H]."""
        share = self.dropout if self.training else 0.0
        if share == 0.0 or query.device.type != "cpu":
            return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=share)
        # with dropout torch's own form is these lines with a slower mask
        scores = (query @ key.transpose(2, 3)) * query.shape[3] ** -0.5
        weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=3)
        return dropout(weights, share, True) @ value

    def _feed(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        hidden = self._drop(self.activation(self.widen(x)))
        narrowed: Tensor = self.narrow(hidden)
        return narrowed

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def visibility(valid: Bool[Tensor, "B L"], *, causal: bool) -> Bool[Tensor, "B 1 L L"]:
    """Return which keys each query sees: valid ones (not later ones if causal), and always itself.

    That a padded query sees itself keeps its softmax finite; nobody sees a padded key but that query.
    """
    length = valid.shape[1]
    seen = valid[:, None, :].expand(-1, length, -1)
    if causal:
        seen = seen & torch.ones(length, length, dtype=torch.bool, device=valid.device).tril()
    return (seen | torch.eye(length, dtype=torch.bool, device=valid.device))[:, None]
