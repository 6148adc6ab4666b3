"""Self-attention within short sessions that lie one after another without padding: a program for each session and head.

With the queries Q, keys K and values V [L, D / H] of one head, the output is dropout(A) V with A = softmax(Q K^T /
sqrt(D / H)). A session of at most 128 positions fits into the fast memory of one program whole, so that the L x L
weights A are never stored: the backward pass computes them again from Q and K, and draws the same dropout from the same
seed. Given the gradient O of the output, with keep factors S (0 or 1 / (1 - share)),

    of V = (A * S)^T O,    of A = (O V^T) * S,    of scores = A * (of A - row sums of (of A * A)),
    of Q = of scores K,    of K = of scores^T Q    (both divided by sqrt(D / H)).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LONGEST = 128
"""Most positions of a session that fit into one program."""


@triton.jit
def _weights(qkv, start, seeds, block, share, heads: tl.constexpr, width: tl.constexpr, length: tl.constexpr,
             causal: tl.constexpr, drop: tl.constexpr):  # fmt: skip
    """Return queries, keys and values of a session's head, its softmax, the keep factors, the cells and the real rows.

    Cells are where the queries lie in `qkv` [N, 3, H, D / H]. A row is real if the session has that position.
    """
    session, head = tl.program_id(0), tl.program_id(1)
    first = tl.load(start + session)
    count = tl.load(start + session + 1) - first
    i, c = tl.arange(0, length), tl.arange(0, width)
    real = i < count
    query_cells = (first + i)[:, None].to(tl.int64) * (3 * heads * width) + head * width + c[None, :]
    query = tl.load(qkv + query_cells, mask=real[:, None], other=0.0)
    key = tl.load(qkv + query_cells + heads * width, mask=real[:, None], other=0.0)
    value = tl.load(qkv + query_cells + 2 * heads * width, mask=real[:, None], other=0.0)
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * (width**-0.5)
    seen = real[None, :] & (i[:, None] >= 0)
    if causal:
        seen = seen & (i[None, :] <= i[:, None])
    seen = seen | (i[:, None] == i[None, :])  # a row past the session attends to itself: its softmax is finite
    scores = tl.where(seen, scores, -float("inf"))
    scores = tl.exp(scores - tl.max(scores, 1)[:, None])
    weights = scores / tl.sum(scores, 1)[:, None]
    scale = tl.full((length, length), 1.0, tl.float32)
    if drop:
        seed = tl.load(seeds + block)
        draw = ((session * heads + head) * length + i[:, None]) * length + i[None, :]
        scale = tl.where(tl.rand(seed, draw, n_rounds=7) >= share, 1.0 / (1.0 - share), 0.0)
    return query, key, value, weights, scale, query_cells, real


@triton.jit
def _forward(qkv, start, seeds, block, share, out, heads: tl.constexpr, width: tl.constexpr, length: tl.constexpr,
             causal: tl.constexpr, drop: tl.constexpr):  # fmt: skip
    """Store the attention output of one head of a session in out [N, H, D / H]."""
    query, key, value, weights, scale, query_cells, real = _weights(
        qkv, start, seeds, block, share, heads, width, length, causal, drop
    )
    mixed = tl.dot((weights * scale).to(value.dtype), value, input_precision="ieee")
    session, head = tl.program_id(0), tl.program_id(1)
    row = (tl.load(start + session) + tl.arange(0, length))[:, None].to(tl.int64)
    out_cells = row * (heads * width) + head * width + tl.arange(0, width)[None, :]
    tl.store(out + out_cells, mixed.to(value.dtype), mask=real[:, None])


@triton.jit
def _backward(qkv, start, seeds, block, share, grad, out, heads: tl.constexpr, width: tl.constexpr,
              length: tl.constexpr, causal: tl.constexpr, drop: tl.constexpr):  # fmt: skip
    """Store the gradients of queries, keys and values in out [N, 3, H, D / H], given that of the output."""
    query, key, value, weights, scale, query_cells, real = _weights(
        qkv, start, seeds, block, share, heads, width, length, causal, drop
    )
    session, head = tl.program_id(0), tl.program_id(1)
    row = (tl.load(start + session) + tl.arange(0, length))[:, None].to(tl.int64)
    out_cells = row * (heads * width) + head * width + tl.arange(0, width)[None, :]
    above = tl.load(grad + out_cells, mask=real[:, None], other=0.0).to(value.dtype)
    dropped = (weights * scale).to(value.dtype)
    of_value = tl.dot(tl.trans(dropped), above, input_precision="ieee")
    of_weights = tl.dot(above, tl.trans(value), input_precision="ieee") * scale
    of_scores = weights * (of_weights - tl.sum(of_weights * weights, 1)[:, None]) * (width**-0.5)
    of_scores = of_scores.to(value.dtype)
    of_query = tl.dot(of_scores, key, input_precision="ieee")
    of_key = tl.dot(tl.trans(of_scores), query, input_precision="ieee")
    tl.store(out + query_cells, of_query.to(value.dtype), mask=real[:, None])
    tl.store(out + query_cells + heads * width, of_key.to(value.dtype), mask=real[:, None])
    tl.store(out + query_cells + 2 * heads * width, of_value.to(value.dtype), mask=real[:, None])


def _constants(qkv: Tensor, heads: int, longest: int, share: float, causal: bool) -> dict[str, Any]:
    """Return what the kernels are compiled for."""
    length = max(16, triton.next_power_of_2(longest))
    if length > LONGEST:
        raise ValueError(f"a session of {longest} positions is longer than {LONGEST}")
    return {
        "heads": heads, "width": qkv.shape[1] // 3 // heads, "length": length, "causal": causal, "drop": share > 0,
        "num_warps": 1 if length <= 32 else 4,
    }  # fmt: skip


@torch.library.custom_op("segue::packed_attention", mutates_args=())
def packed_attention(
    qkv: Tensor, start: Tensor, seeds: Tensor, block: int, heads: int, longest: int, share: float, causal: bool
) -> Tensor:
    """Return the attention output of each position, [N, D] in the type of `qkv`; 0 after the last session.

    Args:
        qkv: queries, keys and values [N, 3 D]. The width of a head is a power of two of at least 16.
        start: int32 [B + 1]; the positions of session b are start[b]..start[b + 1] - 1.
        seeds: int64, one for each block of the encoder; the same seed drops the same weights.
        block: index of the seed.
        heads: H.
        longest: number of positions of the longest session, at most 128.
        share: share of attention weights that are dropped.
        causal: whether a position attends only to itself and to those before it.
    """
    out = qkv.new_zeros(qkv.shape[0], qkv.shape[1] // 3)
    constants = _constants(qkv, heads, longest, share, causal)
    _forward[(len(start) - 1, heads)](qkv, start, seeds, block, share, out, **constants)
    return out


@torch.library.custom_op("segue::packed_attention_backward", mutates_args=())
def _packed_attention_backward(
    grad: Tensor, qkv: Tensor, start: Tensor, seeds: Tensor, block: int, heads: int, longest: int, share: float,
    causal: bool,
) -> Tensor:  # fmt: skip
    """Return the gradient in `qkv`, given that of the output."""
    out = torch.zeros_like(qkv)
    constants = _constants(qkv, heads, longest, share, causal)
    _backward[(len(start) - 1, heads)](qkv, start, seeds, block, share, grad.contiguous(), out, **constants)
    return out


@packed_attention.register_fake
def _(qkv, start, seeds, block, heads, longest, share, causal):
    return qkv.new_empty(qkv.shape[0], qkv.shape[1] // 3)


@_packed_attention_backward.register_fake
def _(grad, qkv, start, seeds, block, heads, longest, share, causal):
    return torch.empty_like(qkv)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    qkv, start, seeds, *ctx.settings = inputs
    ctx.save_for_backward(qkv, start, seeds)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    qkv, start, seeds = ctx.saved_tensors
    return _packed_attention_backward(grad, qkv, start, seeds, *ctx.settings), *[None] * 7


packed_attention.register_autograd(_differentiate, setup_context=_save)
