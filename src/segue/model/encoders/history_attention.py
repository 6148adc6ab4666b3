"""Self-attention over long sequences: the histories of listeners."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.model.encoders.blocks import Attend

BASE: Final = 10_000.0
"""A pair of values turns by 1 radian a place at first, by nearly 1 / BASE at last."""
Turns = tuple[Tensor, Tensor]
"""Cosine and sine of the angles of places [*], [*, 1, 1, K] each; K = half the width of a head."""


def turns(place: Int[Tensor, "*shape"], num_pairs: int) -> Turns:
    """Return the turns of places; `num_pairs` = K."""
    pairs = torch.arange(num_pairs, device=place.device) / num_pairs
    angle = (place[..., None] * BASE**-pairs)[..., None, None, :]
    return angle.cos(), angle.sin()


def turned(qkv: Float[Tensor, "*shape E"], by: Turns, heads: int) -> Float[Tensor, "*shape E"]:
    """Return queries and keys turned by their places, so that a product depends on how far apart two places are.

    E = 3 D: queries, keys, values; values stay as they are. Source: Su et al. 2021.
    """
    parts, (cos, sin) = qkv.view(*qkv.shape[:-1], 3, heads, 2, -1), by
    one, other = parts[..., :2, :, 0, :], parts[..., :2, :, 1, :]
    both = torch.stack((one * cos - other * sin, one * sin + other * cos), -2).to(qkv.dtype)
    return torch.cat((both.flatten(-4), qkv[..., 2 * qkv.shape[-1] // 3 :]), -1)


def flash_fits(head_width: int) -> bool:
    """Return whether the flash attention of a GPU takes heads of this width."""
    return head_width % 8 == 0 and head_width <= 256


def history_attention_of(sequences: Batch, heads: int, head_width: int) -> Attend:
    """Return the attention of sequences that is fastest where they lie."""
    by = turns(_places(sequences), head_width // 2)
    device = sequences.tracks.device.type
    if device == "cuda" and torch.is_autocast_enabled("cuda") and flash_fits(head_width):
        return FlashAttention(sequences.offsets.int(), sequences.longest, by, heads)
    num = max(int((sequences.offsets[:-1] < sequences.offsets[-1]).sum()), 1)
    offsets = sequences.offsets[: num + 1]
    longest = max(int((offsets[1:] - offsets[:-1]).max()), 1)
    return HistoryAttention(replace(sequences, offsets=offsets, longest=longest), by, heads)


def _places(sequences: Batch) -> Int[Tensor, " T"]:
    """Return how many places of its sequence come before each."""
    sequence = sequences.session.clamp(max=sequences.num_sessions - 1)
    return torch.arange(len(sequences.tracks), device=sequences.tracks.device) - sequences.offsets[sequence]


@dataclass(frozen=True)
class FlashAttention:
    """`HistoryAttention` on a GPU, without padding and without waiting for the host."""

    offsets: Int[Tensor, " C"]
    longest: int
    by: Turns
    heads: int
    """H."""

    def __call__(self, qkv: Float[Tensor, "T E"], block: int) -> Float[Tensor, "T D"]:
        """Return what each place reads of the others of its sequence; E = 3 D: queries, keys, values."""
        from segue.kernels.flash_attention import flash_attention

        return flash_attention(turned(qkv, self.by, self.heads), self.offsets, self.heads, self.longest)


@dataclass(frozen=True)
class HistoryAttention:
    """Each place reads itself and those before it in its sequence; no weight is dropped."""

    sequences: Batch
    by: Turns
    heads: int
    """H."""

    def __call__(self, qkv: Float[Tensor, "T E"], block: int) -> Float[Tensor, "T D"]:
        """Return what each place reads of the others of its sequence; E = 3 D: queries, keys, values."""
        source, _ = self.sequences.cells
        width, dtype = qkv.shape[1] // 3, qkv.dtype
        on_cpu = qkv.device.type == "cpu"
        if on_cpu:
            qkv = qkv.float()
        parts = turned(qkv, self.by, self.heads).index_select(0, source.flatten())
        query, key, value = parts.view(*source.shape, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # on a CPU, attention in bfloat16, which autocast would choose, takes several times as long
        with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            mixed = scaled_dot_product_attention(query, key, value, is_causal=True)  # nobody reads padding: it is last
        return mixed.transpose(1, 2).reshape(-1, width).index_select(0, self.sequences.slot).to(dtype)


@dataclass(frozen=True)
class ContinuedAttention:
    """`HistoryAttention` of L more places, after places whose keys and values are known."""

    past: Float[Tensor, "B K P E"]
    """Keys, turned, and values by block and place; E = 2 D."""
    length: Int[Tensor, " B"]
    """How many of the P places there are."""
    valid: Bool[Tensor, "B L"]
    """Which of the L places there are; the others come last."""
    heads: int
    """H."""
    added: list[Float[Tensor, "B L E"]] = field(default_factory=list)
    """The same as `past` of the new places, block after block."""

    def __call__(self, qkv: Float[Tensor, "B L E"], block: int) -> Float[Tensor, "B L D"]:
        """Return what each new place reads; E = 3 D: queries, keys, values."""
        width, (num, length) = qkv.shape[2] // 3, self.valid.shape
        place = self.length[:, None] + torch.arange(length, device=qkv.device)
        query, *new = turned(qkv, turns(place, width // self.heads // 2), self.heads).chunk(3, 2)
        self.added.append(torch.cat(new, 2))
        known = self.past[:, block].chunk(2, 2)
        key, value = (torch.cat((old, each), 1) for old, each in zip(known, new, strict=True))
        query, key, value = (
            each.view(num, -1, self.heads, width // self.heads).transpose(1, 2) for each in (query, key, value)
        )
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=self._visible)
        return mixed.transpose(1, 2).reshape(num, length, width)

    @property
    def _visible(self) -> Bool[Tensor, "B one L C"]:
        """Which of all C = P + L places each new one sees."""
        num, length = self.valid.shape
        device = self.valid.device
        old = torch.arange(self.past.shape[2], device=device) < self.length[:, None]
        step = torch.arange(length, device=device)
        new = (self.valid[:, None] & (step <= step[:, None])) | (step == step[:, None])
        return torch.cat((old[:, None].expand(num, length, -1), new), 2)[:, None]
