"""Transformer blocks: self-attention and a feed-forward layer, post-norm (the paper) or pre-norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
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
    padding: Literal["masked", "visible"] = "masked"
    """Padding is nothing to anybody, or (the paper's letter) a track among others.

    visible: a session stands at the end of max_len places, and PAD in each place before it. A PAD is a row of zeros and
    its position's row; tracks attend to it, it attends to what a track in its place would, and it counts as a position.
    So the last track always stands in the last place, in training as later, and there is no room for an offset:
    `position` then changes nothing. The losses still skip padding: it has no target.
    """

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.heads, self.ffn_width) < 1:
            raise ValueError("width, blocks, heads and ffn_width must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in [0, 1)")
        if self.padding not in ("masked", "visible"):
            raise ValueError("padding must be masked or visible")


Attend = Callable[[Tensor, int], Tensor]
"""Self-attention without its projections: queries, keys and values [*, 3 D] of a block, and its index, to [*, D]."""


class Block(nn.Module):
    """One transformer block over states of any leading shape; only `attend` knows which belong to one session."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.index, self.dropout, self.pre_norm = index, config.dropout, config.norm == "pre"
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.ffn_width)
        self.narrow = nn.Linear(config.ffn_width, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = functional.relu if config.activation == "relu" else functional.gelu

    def forward(self, x: Float[Tensor, "*shape D"], attend: Attend) -> Float[Tensor, "*shape D"]:
        """Return the block's output."""
        if self.pre_norm:
            x = x + self._drop(self._attend(self.attention_norm(x), attend))
            return x + self._drop(self._feed(self.feed_norm(x)))
        x = self.attention_norm(x + self._drop(self._attend(x, attend)))
        normed: Tensor = self.feed_norm(x + self._drop(self._feed(x)))
        return normed

    def _attend(self, x: Tensor, attend: Attend) -> Tensor:
        joined: Tensor = self.project_out(attend(self.project_in(x), self.index))
        return joined

    def _feed(self, x: Tensor) -> Tensor:
        hidden = self._drop(self.activation(self.widen(x)))
        narrowed: Tensor = self.narrow(hidden)
        return narrowed

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
