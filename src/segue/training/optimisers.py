"""Adam over dense and sparse gradients: stepping, clipping, and state as named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segue.encoders.encoder import BatchRows, Encoder


class Optimisers:
    """Adam for an encoder; a sparse track table gets SparseAdam, which touches only the rows of a batch.

    SparseAdam (lazy Adam: Kingma & Ba 2015, moments of untouched rows do not decay) makes a step cost what the batch
    costs, not what the vocabulary costs.
    """

    def __init__(self, encoder: Encoder, learning_rate: float) -> None:
        table = self._table = encoder.table.weight
        self._parameters: list[nn.Parameter] = list(encoder.parameters())
        if encoder.table.sparse:
            rest = [parameter for parameter in self._parameters if parameter is not table]
            self._parts: list[torch.optim.Optimizer] = [torch.optim.SparseAdam([table], lr=learning_rate)]
            if rest:
                self._parts.append(torch.optim.Adam(rest, lr=learning_rate))
        else:
            self._parts = [torch.optim.Adam(self._parameters, lr=learning_rate)]

    def step(self, loss: Tensor, clip: float, touched: BatchRows | None = None) -> None:
        """Move the parameters down the gradient of `loss`, clipped to global norm `clip`.

        `touched`: the rows of the table that `loss` was computed from, if not from the table itself.
        """
        for part in self._parts:
            part.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if touched is not None and touched.values.grad is not None:
            grad = touched.values.grad
            self._table.grad = torch.sparse_coo_tensor(
                touched.ids[None], grad, self._table.shape, is_coalesced=True, check_invariants=False
            )
        clip_gradients(self._parameters, clip)
        for part in self._parts:
            part.step()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors and numbers by 'optimiser.parameter.name'."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        for i, part in enumerate(self._parts):
            for index, values in part.state_dict()["state"].items():
                for name, value in values.items():
                    held: dict[str, Any] = tensors if isinstance(value, Tensor) else numbers
                    held[f"{i}.{index}.{name}"] = value
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self._parts]
        for key, value in {**tensors, **numbers}.items():
            i, index, name = key.split(".")
            states[int(i)].setdefault(int(index), {})[name] = value
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scale all gradients so that their global 2-norm is at most `limit`; return the norm before, scalar.

    Sparse gradients are coalesced first: a track that stands in a batch often has one gradient, the sum.
    """
    values: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        else:
            values.append(parameter.grad)
    norms = [torch.linalg.vector_norm(value, dtype=torch.float32) for value in values]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch's own clipping: no division by 0
    for value in values:
        value.mul_(scale)
    return norm
