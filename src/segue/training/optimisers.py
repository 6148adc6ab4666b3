"""Adam over the encoder, the track table by the rows a step touches: stepping, clipping, state as named tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from segue.encoders.encoder import Encoder
from segue.training.row_adam import LookedUp, RowAdam

_TABLE: Final = "table"
_REST: Final = "rest"


class Optimisers:
    """Adam for an encoder; a sparse track table goes by `RowAdam`, which touches only the rows of a batch."""

    def __init__(self, encoder: Encoder, learning_rate: float) -> None:
        self._encoder = encoder
        self._rows = RowAdam(encoder.table.weight, learning_rate) if encoder.table.sparse else None
        table = encoder.table.weight if self._rows else None
        self._parameters = [parameter for parameter in encoder.parameters() if parameter is not table]
        on_cuda = encoder.table.weight.device.type == "cuda"  # capturable: no host in it, so a graph can hold it
        self._rest = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True, capturable=on_cuda)

    @contextmanager
    def touching(self, tracks: Tensor) -> Iterator[LookedUp | None]:
        """Look up the rows of `tracks` (int64 [N]) for one step; None where every step touches the whole table."""
        if self._rows is None:
            yield None
            return
        rows = self._rows.look_up(self._encoder.touched_ids(tracks))
        with self._encoder.touching(rows.ids, rows.values.requires_grad_()):
            yield rows

    def step(self, loss: Tensor, clip: float, rows: LookedUp | None = None) -> None:
        """Move the parameters down the gradient of `loss`, clipped to global norm `clip`.

        `rows`: what `touching` gave for it.
        """
        self._rest.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        of_rows = None if rows is None else rows.values.grad
        clip_gradients(gradients if of_rows is None else [*gradients, of_rows], clip)
        self._rest.step()
        if self._rows is not None and rows is not None and of_rows is not None:
            self._rows.step(rows, of_rows)

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """All parameters but a sparse table."""
        return self._parameters

    @property
    def table_rows(self) -> RowAdam:
        """What updates the rows of a sparse table."""
        assert self._rows is not None, "the table is not updated by rows"
        return self._rows

    def step_rest(self) -> None:
        """Move `parameters` by their gradients."""
        self._rest.step()

    def settle(self) -> None:
        """Finish what rows of the table have in hand: what reads the table itself comes after this."""
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
                held: dict[str, Any] = tensors if isinstance(value, Tensor) else numbers
                held[f"{_REST}.{index}.{name}"] = value
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        rows: dict[str, Tensor] = {}
        rest: dict[int, dict[str, Any]] = {}
        for key, value in {**tensors, **numbers}.items():
            part, _, name = key.partition(".")
            if part == _TABLE:
                rows[name] = value
            else:
                index, _, name = name.partition(".")
                rest.setdefault(int(index), {})[name] = value
        if self._rows is not None:
            self._rows.load(rows)
        self._rest.load_state_dict({"state": rest, "param_groups": self._rest.state_dict()["param_groups"]})


@torch.no_grad()
def clip_gradients(gradients: Sequence[Tensor], limit: float) -> Tensor:
    """Scale `gradients` in place so that their global 2-norm is at most `limit`; return the norm before, scalar."""
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch's own clipping: no division by 0
    for gradient in gradients:
        gradient.mul_(scale)
    return norm
