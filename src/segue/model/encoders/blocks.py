"""Transformer blocks: self-attention and a feed-forward layer, post-norm (the paper) or pre-norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
from segue.model.encoders.dropout import dropout


def _swiglu(x: Tensor) -> Tensor:
    """Return silu of the first half of the last axis times the second half."""
    gate, value = x.chunk(2, dim=-1)
    return functional.silu(gate) * value


_ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "swiglu": _swiglu,
}


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
    activation: Literal["relu", "gelu", "swiglu"] = "relu"
    """Of the feed-forward layer; swiglu: silu(W x) * (V x), with a matrix more (Shazeer 2020)."""
    gated: bool = False
    """What a layer adds is multiplied by sigmoid(G x) of the same normed input, with a matrix G a layer (the blocks of
    LiGR, Borisyuk et al. 2024, as eSASRec takes them); for pre-norm."""
    position: Literal["shifted", "literal"] = "shifted"
    """Positions in training: shifted by a uniform offset, so that every row is trained, or literally from 0."""
    padding: Literal["masked", "visible"] = "masked"
    """Padding is masked everywhere, or (the paper's letter) seen as a track is.

    visible: a session stands at the end of max_len columns, and PAD in each column before it. A PAD is a row of zeros
    plus its position's row; tracks attend to it, and it attends as a track in its column would. So the last track
    always stands in the last column, and `position` changes nothing. The losses skip padding: it has no target.
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
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}")
        if self.gated and self.norm != "pre":
            raise ValueError("gated needs norm = 'pre': a gate reads the normed input of its layer")


Attend = Callable[[Tensor, int], Tensor]
"""Self-attention without its projections: queries, keys and values [*, 3 D] of a block, and its index, to [*, D]."""

Picked = Callable[[Tensor], Tensor]
"""States of all positions to those of one position of each session, [B, D]."""


class Block(nn.Module):
    """One transformer block over states of any leading shape; only `attend` knows which belong to one session."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.index, self.dropout, self.pre_norm = index, config.dropout, config.norm == "pre"
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.ffn_width * (2 if config.activation == "swiglu" else 1))
        self.narrow = nn.Linear(config.ffn_width, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = _ACTIVATIONS[config.activation]
        gates = 2 if config.gated else 0
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
