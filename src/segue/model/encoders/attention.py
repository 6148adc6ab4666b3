"""Self-attention among the positions of a session: how a batch of sessions without padding is attended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.model.encoders.blocks import Attend
from segue.model.encoders.dropout import dropout, keep_bits
from segue.objectives.log_sum import HAS_TRITON

LONGEST_KERNEL: Final = 128
"""Most positions of a session that the GPU kernel holds."""
NARROWEST_HEAD: Final = 16
"""Narrowest head that it holds; the width of a head must be a power of two besides."""


@dataclass(frozen=True)
class AttentionConfig:
    """What all forms of attention have."""

    heads: int
    """H."""
    causal: bool
    """Whether a position sees only itself and those before it."""
    dropout: float
    """Share of attention weights dropped."""


def attention_of(batch: Batch, config: AttentionConfig, width: int, blocks: int) -> Attend:
    """Return the attention of `batch` that is fastest where it lies.

    `width`: D; `blocks`: number of blocks of the encoder. Random numbers come from torch's global generators.
    """
    if batch.tracks.device.type == "cuda":
        head = width // config.heads
        fits = batch.longest <= LONGEST_KERNEL and head >= NARROWEST_HEAD and head & (head - 1) == 0
        if fits and torch.is_autocast_enabled("cuda") and HAS_TRITON:
            seeds = torch.randint(2**31, (blocks,), device=batch.tracks.device)
            return KernelAttention(batch.offsets.int(), seeds, batch.longest, config)
        return PackedAttention(batch, config)
    return BlockedAttention(batch, config) if torch.is_grad_enabled() else PackedAttention(batch, config)


@dataclass(frozen=True)
class KernelAttention:
    """Attention by a GPU kernel: one program for each session and head."""

    offsets: Int[Tensor, " C"]
    seeds: Int[Tensor, " blocks"]
    """Of dropout, one for each block."""
    longest: int
    config: AttentionConfig

    def __call__(self, qkv: Float[Tensor, "N E"], block: int) -> Float[Tensor, "N D"]:
        """Return what each position reads of the others of its session; E = 3 D: queries, keys, values."""
        from segue.kernels.packed_attention import packed_attention

        config = self.config
        mixed: Tensor = packed_attention(
            qkv, self.offsets, self.seeds, block, config.heads, self.longest, config.dropout, config.causal
        )
        return mixed


@dataclass(frozen=True)
class PaddedAttention:
    """Attention over padded sessions: the reference of the other forms, and the form that is exported."""

    visible: Bool[Tensor, "B 1 L L"]
    """Which keys each query sees."""
    config: AttentionConfig

    def __call__(self, qkv: Float[Tensor, "B L E"], block: int) -> Float[Tensor, "B L D"]:
        """Return what each position reads of the others; E = 3 D: queries, keys, values."""
        batch, length, width = qkv.shape
        heads = self.config.heads
        parts = qkv.view(batch, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
        mixed = _mix(parts[0], parts[1], parts[2], self.visible, self.config.dropout)
        return mixed.transpose(1, 2).reshape(batch, length, width // 3)


@dataclass(frozen=True)
class PackedAttention:
    """`PaddedAttention` of a batch without padding: it is padded for the products alone."""

    batch: Batch
    config: AttentionConfig

    def __call__(self, qkv: Float[Tensor, "N E"], block: int) -> Float[Tensor, "N D"]:
        """Return what each position reads of the others of its session; E = 3 D: queries, keys, values."""
        source, inside = self.batch.cells
        attend = PaddedAttention(visibility(inside, causal=self.config.causal), self.config)
        mixed = attend(qkv[source], block)
        return mixed.flatten(0, 1).index_select(0, self.batch.slot)


@dataclass(frozen=True)
class BlockedAttention:
    """`PackedAttention` for training on a CPU, with its gradient written out.

    Autograd would fill and add whole tensors for each of queries, keys and values, and its softmax gradient goes row by
    row. Rows are sessions of some twenty tracks, so that this costs more than the products.
    """

    batch: Batch
    config: AttentionConfig

    def __call__(self, qkv: Float[Tensor, "N E"], block: int) -> Float[Tensor, "N D"]:
        """Return what each position reads of the others of its session; E = 3 D: queries, keys, values."""
        share, inside = self.config.dropout, self.batch.cells[1]
        sessions, length = inside.shape
        scale = inside.float()[:, None, :, None]  # queries of padding give and get nothing
        if share > 0.0:
            bits = keep_bits(torch.Size((sessions, self.config.heads, length, length)), share)
            scale = bits.float().mul_(scale / (share - 1.0))  # bits are -1 where a weight stays
        mixed: Tensor = _Mix.apply(qkv, self, scale)  # type: ignore[no-untyped-call]
        return mixed

    @cached_property
    def source(self) -> Int[Tensor, " cells"]:
        """Index of the position in each cell of a padded matrix, row after row."""
        return self.batch.cells[0].flatten()

    @cached_property
    def num_positions(self) -> int:
        """Positions before the end of the last session."""
        return int(self.batch.offsets[-1])

    @cached_property
    def hidden(self) -> Float[Tensor, "B 1 L L"]:
        """What is added to scores: 0 where a query sees a key, else -inf."""
        visible = visibility(self.batch.cells[1], causal=self.config.causal)
        return torch.zeros(()).masked_fill(~visible, -torch.inf)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, qkv: Tensor, of: BlockedAttention, scale: Tensor) -> Tensor:
        sessions, length, heads = scale.shape[0], scale.shape[2], of.config.heads
        width = qkv.shape[1] // 3
        padded = qkv.index_select(0, of.source).view(sessions, length, 3, heads, width // heads)
        query, key, value = padded.permute(2, 0, 3, 1, 4).reshape(3, sessions * heads, length, width // heads)
        scores = torch.bmm(query, key.transpose(1, 2)).view(sessions, heads, length, length).float()
        weights = scores.mul_((width // heads) ** -0.5).add_(of.hidden).softmax(3)
        dropped = (weights * scale).to(qkv.dtype).view(sessions * heads, length, length)
        context.save_for_backward(query, key, value, weights, dropped, scale)
        context.of = of
        mixed = torch.bmm(dropped, value).view(sessions, heads, length, -1).transpose(1, 2)
        return mixed.reshape(sessions * length, width).index_select(0, of.batch.slot)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        query, key, value, weights, dropped, scale = context.saved_tensors
        sessions, heads, length, _ = weights.shape
        width = grad.shape[1]
        padded = grad.index_select(0, context.of.source).view(sessions, length, heads, width // heads)
        above = padded.transpose(1, 2).reshape(query.shape)
        of_split = torch.empty((3, *query.shape), dtype=grad.dtype)
        torch.bmm(dropped.transpose(1, 2), above, out=of_split[2])
        of_weights = torch.bmm(above, value.transpose(1, 2)).view(weights.shape).float()
        of_weights.mul_(scale).mul_(weights)
        # a product with ones adds up short rows faster than a sum does
        total = of_weights.view(-1, length) @ torch.ones(length, 1)
        of_scores = of_weights.addcmul_(weights, total.view(sessions, heads, length, 1), value=-1.0)
        of_scores = of_scores.mul_((width // heads) ** -0.5).to(grad.dtype).view(dropped.shape)
        torch.bmm(of_scores, key, out=of_split[0])
        torch.bmm(of_scores.transpose(1, 2), query, out=of_split[1])
        joined = of_split.view(3, sessions, heads, length, -1).permute(1, 3, 0, 2, 4).reshape(sessions * length, -1)
        of_qkv = joined.index_select(0, context.of.batch.slot)
        of_qkv[context.of.num_positions :] = 0.0
        return of_qkv, None, None


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

    A query on padding sees itself, so that its softmax is finite; no other query sees padding.
    """
    length = valid.shape[1]
    seen = valid[:, None, :].expand(-1, length, -1)
    if causal:
        seen = seen & torch.ones(length, length, dtype=torch.bool, device=valid.device).tril()
    return (seen | torch.eye(length, dtype=torch.bool, device=valid.device))[:, None]
