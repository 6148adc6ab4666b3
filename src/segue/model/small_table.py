"""Rows of a small table that very many positions read: learned positions, embeddings of feedback and context."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segue.axes import Float, Int


def small_table_rows(table: Float[Tensor, "P D"], index: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
    """Return table[index]; its gradient is one small matrix product.

    The gradient of an embedding adds to few rows very many times, one after another.
    """
    rows: Tensor = _SmallTableRows.apply(table, index)  # type: ignore[no-untyped-call]
    return rows


class _SmallTableRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, table: Tensor, index: Tensor) -> Tensor:
        context.save_for_backward(index)
        context.num_rows = len(table)
        return table[index]

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = context.saved_tensors
        row = torch.arange(context.num_rows, device=index.device)[:, None]
        chosen = (index.flatten() == row).to(grad.dtype)  # [P, positions]
        return chosen @ grad.reshape(-1, grad.shape[-1]), None
