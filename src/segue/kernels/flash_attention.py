"""Causal self-attention within long sequences that lie one after another without padding: torch's flash attention.

The gradient is made in an order that threads do not change, so that a seed decides every byte.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_forward = torch.ops.aten._flash_attention_forward
_backward = torch.ops.aten._flash_attention_backward


def flash_attention(qkv: Tensor, start: Tensor, heads: int, longest: int) -> Tensor:
    """Return the attention output of each place, [T, D] in the type of `qkv`; 0 after the last sequence.

    Args:
        qkv: queries, keys and values [T, 3 D] on a GPU, bfloat16 or float16. The width of a head is a multiple of 8.
        start: int32 [S + 1]; the places of sequence s are start[s]..start[s + 1] - 1.
        heads: H.
        longest: at least the number of places of the longest sequence.
    """
    mixed: Tensor = _attend(qkv, start, heads, longest)[0]
    return mixed


@torch.library.custom_op("segue::flash_attention", mutates_args=())
def _attend(qkv: Tensor, start: Tensor, heads: int, longest: int) -> tuple[Tensor, Tensor]:
    """Return the output and the log-sum-exp of the scores, [H, T]."""
    parts = _parts(qkv, heads)
    mixed, log_sums, *_ = _forward(*parts, start, start, longest, longest, 0.0, True, False)
    return mixed.flatten(1).masked_fill(_outside(mixed, start), 0.0), log_sums


@torch.library.custom_op("segue::flash_attention_backward", mutates_args=())
def _attend_backward(
    grad: Tensor, qkv: Tensor, mixed: Tensor, log_sums: Tensor, start: Tensor, heads: int, longest: int
) -> Tensor:
    """Return the gradient in `qkv`, given that of the output."""
    parts = _parts(qkv, heads)
    above, out = (each.contiguous().view(parts[0].shape) for each in (grad, mixed))
    no_dropout = torch.zeros(2, dtype=torch.uint64, device=qkv.device), torch.empty(0, device=qkv.device)
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        gradients = _backward(above, *parts, out, log_sums, start, start, longest, longest, 0.0, True, *no_dropout)
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
    return torch.cat([part.flatten(1) for part in gradients], 1).masked_fill(_outside(qkv, start), 0.0)


def _parts(qkv: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Return queries, keys and values [T, H, D / H]."""
    return qkv.view(len(qkv), 3, heads, -1).unbind(1)


def _outside(places: Tensor, start: Tensor) -> Tensor:
    """Return which places follow the last sequence, [T, 1]: what the kernel leaves there is not set."""
    return (torch.arange(len(places), device=places.device) >= start[-1])[:, None]


@_attend.register_fake
def _(qkv, start, heads, longest):
    places, width = qkv.shape[0], qkv.shape[1] // 3
    return qkv.new_empty(places, width), qkv.new_empty(heads, places, dtype=torch.float32)


@_attend_backward.register_fake
def _(grad, qkv, mixed, log_sums, start, heads, longest):
    return torch.empty_like(qkv)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, start, *ctx.settings = inputs
    ctx.save_for_backward(qkv, *output, start)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    qkv, mixed, log_sums, start = ctx.saved_tensors
    return _attend_backward(grad, qkv, mixed, log_sums, start, *ctx.settings), *[None] * 3


_attend.register_autograd(_differentiate, setup_context=_save)
