"""Rows of a small table that very many inputs read: the learned positions, the embeddings of feedback."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segue.axes import Float, Int


def position_rows(table: Float[Tensor, "P D"], place: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
    """Return table[place]; its gradient is one small matrix product.

    Adding each input's gradient to one of few rows, as an embedding does, makes all of them wait for one another.
    """
    rows: Tensor = _PositionRows.apply(table, place)  # type: ignore[no-untyped-call]
    return rows


class _PositionRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, table: Tensor, place: Tensor) -> Tensor:
        context.save_for_backward(place)
        context.num_rows = len(table)
        return table[place]

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None]:
        (place,) = context.saved_tensors
        row = torch.arange(context.num_rows, device=place.device)[:, None]
        chosen = (place.flatten() == row).to(grad.dtype)  # [P, inputs]
        return chosen @ grad.reshape(-1, grad.shape[-1]), None
