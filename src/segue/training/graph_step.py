"""The training step of one GPU, captured as a CUDA graph: the host starts hundreds of kernels with one call.

A captured graph repeats the same kernels on the same memory. All shapes are therefore fixed: a batch has room for the
most positions that any batch of the epoch has, and for the most places of histories, and nothing in the step may wait
for the host. The encoder and the losses are compiled. Sums over repeated rows are made in the order of a sort, so that
a seed decides every byte.
"""

from __future__ import annotations

import math
import warnings
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Float, Int
from segue.batches.example import window_lengths
from segue.kernels import rows
from segue.model.encoders.transformer import TransformerEncoder
from segue.training.row_adam import RowAdam
from segue.training.step import Training, TrainingStep
from segue.training.table_rows import TableRows, WholeTable

WARM_UP: Final = 3
"""Steps before the graph is captured: they compile the kernels and allocate memory, and train as well."""
_ROUNDING: Final = 512
"""The room for positions, or places, is a multiple of this, so that epochs can use one graph."""
_ROOM: Final = 1.02
"""The room for positions, or places, relative to the largest batch of the first epoch."""
_STEPS_AHEAD: Final = 1 << 16
"""Room for the momentum of so many more steps; when it is full, a captured graph must be captured again."""


class GraphStep(TrainingStep):
    """One training step after another on a CUDA device."""

    def __init__(self, training: Training) -> None:
        encoder = training.encoder
        full = training.recipe.next_track.reads_table
        super().__init__(
            training, WholeTable(encoder) if full else KernelRows(encoder.table.weight, training.optimisers.table_rows)
        )
        device = training.data.tracks.device
        self._index = torch.full((training.recipe.training.batch_size,), -1, dtype=torch.int64, device=device)
        self._num_positions, self._num_places, self._warm = 0, 0, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.make_example = torch.compile(self.make_example, dynamic=False)  # type: ignore[method-assign]
        self.compare = torch.compile(self.compare, dynamic=False)  # type: ignore[method-assign]
        if isinstance(encoder, TransformerEncoder) and not encoder.sees_padding:
            self.states = torch.compile(self.states, dynamic=False)  # type: ignore[method-assign]
        self.add_at = rows.add_at

    def prepare(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order` on the device: the sessions (on the CPU) of the next `num_steps` steps.

        The graph is captured again if one of their batches has more positions than it has room for.
        """
        size = len(self._index)
        placed = order.to(self._index.device, non_blocking=True)
        padded = functional.pad(placed, (0, -len(order) % size), value=-1).view(-1, size)
        lengths = window_lengths(self.training.data, padded, self.examples.width)
        positions = int((lengths if self.encoder.masked else (lengths - 1).clamp(min=0)).sum(1).max())
        histories = self.training.data.histories
        places = 0 if histories is None else int(histories.num_places(padded).max())
        has_room = positions <= self._num_positions and places <= self._num_places
        if not self.table.prepare(num_steps) or not has_room:
            self._num_positions = max(self._num_positions, _room(positions))
            self._num_places = max(self._num_places, _room(places))
            self._graph, self._warm = None, 0
        return placed

    def num_places(self, index: Int[Tensor, " B"]) -> int:
        """Return the room for places of histories, which is the same in each step."""
        return self._num_places

    def step(self, index: Int[Tensor, " B"]) -> None:
        """Train on sessions `index` (on the device, at most a batch) and add the losses to the sums."""
        self._index.fill_(-1)
        self._index[: len(index)] = index
        if self._graph is None and self._warm >= WARM_UP:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._warm += 1
            self._eager()

    def _eager(self) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # the compiler advises to round float32 products, but the encoder's products are bf16
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores", category=UserWarning)
            self.train(self._index, self._num_positions)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self.training.generator)
        with torch.cuda.graph(self._graph, stream=self._stream):
            self.train(self._index, self._num_positions)


def _room(most: int) -> int:
    """Return the room for so many positions or places."""
    return math.ceil(most * _ROOM / _ROUNDING) * _ROUNDING


class KernelRows(TableRows):
    """The rows of a batch, moved in place by the kernels of `segue.kernels.rows`; the host never waits."""

    def __init__(self, table: Tensor, adam: RowAdam) -> None:
        self._table, self._adam = table.detach(), adam
        self._step = torch.zeros(1, dtype=torch.int32, device=table.device)
        self._momentum = torch.zeros(0, device=self._step.device)
        self._state: rows.RowState | None = None
        self._summed: rows.Summed | None = None

    def prepare(self, num_steps: int) -> bool:
        """Copy the optimiser's step count and momentum to the device; return whether their tensors are the same."""
        self.hand_back()
        made, state = self._adam.num_steps, self._adam.state()
        has_room = made + num_steps < len(self._momentum)
        if not has_room:
            self._momentum = self._momentum.new_zeros(made + num_steps + _STEPS_AHEAD)
        self._momentum[: made + 1] = state["momentum"]
        self._step.fill_(made)
        moments = (state["exp_avg"], state["exp_avg_sq"], state["at"], self._momentum, self._step)
        self._state = rows.RowState(self._table, *moments, self._adam.learning_rate)
        return has_room

    def look_up(self, ids: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return the rows as dense Adam would have them."""
        assert self._state is not None, "prepare comes first"
        return rows.look_up(self._state, ids.int())

    def take(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> Float[Tensor, ""]:
        """Add up the gradients by row, always in the same order."""
        self._summed = rows.sum_grads(ids.int(), gradient)
        return self._summed.square

    def update(self, scale: Float[Tensor, ""]) -> None:
        """Move the rows touched."""
        assert self._state is not None, "prepare comes first"
        assert self._summed is not None, "take comes first"
        rows.update(self._state, self._summed, scale)

    def hand_back(self) -> None:
        """Tell the optimiser which steps were made."""
        if self._state is not None:
            made = int(self._step)
            self._adam.advance_to(made, self._momentum[: made + 1].clone())
