"""Transformer blocks: self-attention and a feed-forward layer, post-norm (the paper) or pre-norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
from segue.config import Config, Count, Share
from segue.model.encoders.dropout import dropout


def _swiglu(x: Tensor) -> Tensor:
    """Return silu of the first half of the last axis times the second half."""
    gate, value = x.chunk(2, dim=-1)
    return functional.silu(gate) * value


_ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "post_norm": functional.relu,
    "pre_norm": functional.gelu,
    "gated": _swiglu,
}


@dataclass(frozen=True)
class TransformerConfig(Config):
    """The shape of a transformer encoder; the defaults are the paper's."""

    width: Count = 128
    """D, of rows and states."""
    blocks: Count = 2
    """Number of blocks."""
    heads: Count = 8
    """H, attention heads; divides width."""
    dropout: Share = 0.2
    """Share of values dropped in training."""
    block_type: Literal["post_norm", "pre_norm", "gated"] = "post_norm"
    """post_norm: ReLU, layer norm after each residual sum (the paper). pre_norm: GELU, layer norm before each layer.
    gated: pre_norm with SwiGLU, silu(W x) * (V x) (Shazeer 2020), and what a layer adds is multiplied by sigmoid(G x)
    of the same normed input, with a matrix G a layer (LiGR, Borisyuk et al. 2024, as eSASRec takes it)."""
    ffn_width: Count = 128
    """Width of the feed-forward layer."""
    prediction_layer: bool = True
    """Whether y_hat = GELU(W x + b) of the last block's output x (the paper), or x itself."""
    position: Literal["shifted", "literal", "padded"] = "shifted"
    """Learned positions of a session. shifted: in training by a uniform offset, so that every row is trained. literal:
    from 0 (the paper's letter). padded: a session stands at the end of max_len columns, PAD before it, which is seen as
    a track is (the paper's letter): a row of zeros plus its position's row, to which tracks attend and which attends
    itself. The losses skip padding: it has no target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")


Attend = Callable[[Tensor, int], Tensor]
"""Self-attention without its projections: queries, keys and values [*, 3 D] of a block, and its index, to [*, D]."""

Picked = Callable[[Tensor], Tensor]
"""States of all positions to those of one position of each session, [B, D]."""


class Block(nn.Module):
    """One transformer block over states of any leading shape; only `attend` knows which belong to one session."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.index, self.dropout, self.pre_norm = index, config.dropout, config.block_type != "post_norm"
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.ffn_width * (2 if config.block_type == "gated" else 1))
        self.narrow = nn.Linear(config.ffn_width, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = _ACTIVATIONS[config.block_type]
        gates = 2 if config.block_type == "gated" else 0
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(gates))

    def forward(
        self, x: Float[Tensor, "*shape D"], attend: Attend, only: Picked | None = None
    ) -> Float[Tensor, "*some D"]:
        """Return the block's output; with `only`, that of the positions it picks, [B, D]."""
        normed = self.attention_norm(x) if self.pre_norm else x
        seen = attend(self.project_in(normed), self.index)
        if only is not None:
            x, normed, seen = only(x), only(normed), only(seen)
        if self.pre_norm:
            x = x + self._drop(self._gate(0, normed, self.project_out(seen)))
            normed = self.feed_norm(x)
            return x + self._drop(self._gate(1, normed, self._feed(normed)))
        x = self.attention_norm(x + self._drop(self.project_out(seen)))
        after: Tensor = self.feed_norm(x + self._drop(self._feed(x)))
        return after

    def _gate(self, layer: int, normed: Tensor, added: Tensor) -> Tensor:
        """Return what a layer adds (0 attention, 1 feed-forward), gated by its input."""
        return torch.sigmoid(self.gates[layer](normed)) * added if len(self.gates) else added

    def _feed(self, x: Tensor) -> Tensor:
        hidden = self._drop(self.activation(self.widen(x)))
        narrowed: Tensor = self.narrow(hidden)
        return narrowed

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
