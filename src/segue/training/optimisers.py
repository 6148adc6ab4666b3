"""Adam for the parameters of an encoder, and `RowAdam` for its track table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from segue.model import Encoder
from segue.training.row_adam import RowAdam

_TABLE: Final = "table"
_REST: Final = "rest"


class Optimisers:
    """Adam for `parameters`, all of an encoder except a sparse track table, which `table_rows` moves."""

    def __init__(self, encoder: Encoder, learning_rate: float) -> None:
        self._rows = RowAdam(encoder.table.weight, learning_rate) if encoder.sparse else None
        table = encoder.table.weight if self._rows else None
        self.parameters: Sequence[nn.Parameter] = [p for p in encoder.parameters() if p is not table]
        on_cuda = encoder.table.weight.device.type == "cuda"  # capturable: a CUDA graph can contain its step
        self._rest = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True, capturable=on_cuda)

    @property
    def table_rows(self) -> RowAdam:
        """The optimiser of a sparse table."""
        assert self._rows is not None, "the table is not sparse"
        return self._rows

    def step_rest(self) -> None:
        """Move `parameters` by their gradients."""
        self._rest.step()

    def bring_up(self) -> None:
        """Bring every row of the table up to date: call it before reading the table itself."""
        if self._rows is not None:
            self._rows.flush()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors and numbers by 'part.name' or 'part.parameter.name'."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        if self._rows is not None:
            tensors |= {f"{_TABLE}.{name}": value for name, value in self._rows.state().items()}
        for index, values in self._rest.state_dict()["state"].items():
            for name, value in values.items():
                target: dict[str, Any] = tensors if isinstance(value, Tensor) else numbers
                target[f"{_REST}.{index}.{name}"] = value
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        rows: dict[str, Tensor] = {}
        rest_state: dict[int, dict[str, Any]] = {}
        for key, value in {**tensors, **numbers}.items():
            part, _, name = key.partition(".")
            if part == _TABLE:
                rows[name] = value
            else:
                index, _, name = name.partition(".")
                rest_state.setdefault(int(index), {})[name] = value
        if self._rows is not None:
            self._rows.load(rows)
        self._rest.load_state_dict({"state": rest_state, "param_groups": self._rest.state_dict()["param_groups"]})
