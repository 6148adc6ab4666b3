"""The training step of one GPU: captured as a CUDA graph, so that nothing in it waits for the host.

The encoder is compiled; scores are never in memory; gradients of rows that a batch reads more than once are added up in
the order of a sort, and so to the same bytes each time.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Float, Int
from segue.batches.example import Example, window_lengths
from segue.model.encoders.transformer import TransformerEncoder
from segue.training.step import Drawn, Training, TrainingStep
from segue.training.table import KernelRows, WholeTable

WARM_UP: Final = 3
"""Steps before the graph is captured, in which kernels are compiled and memory is allocated. They train too."""
_ROUNDING: Final = 512
"""Positions are rounded up to a multiple of this, so that epochs share a graph."""


class GraphStep(TrainingStep):
    """One training step after another on a CUDA device."""

    def __init__(self, training: Training) -> None:
        encoder = training.encoder
        full = training.recipe.next_track.reads_table
        super().__init__(training, WholeTable(encoder) if full else KernelRows(encoder, training.optimisers))
        device = training.data.tracks.device
        self._index = torch.full((training.recipe.training.batch_size,), -1, dtype=torch.int64, device=device)
        self._num_positions, self._warm = 0, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._example = torch.compile(super().make_example, dynamic=False)
        self._compare = torch.compile(super().compare, dynamic=False)
        self._states: Any = encoder.states_with
        if isinstance(encoder, TransformerEncoder) and not encoder.sees_padding:
            self._states = torch.compile(encoder.states_with, dynamic=False)

    def prepare(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order` (on the CPU) on the device, with room made for `num_steps` batches of it."""
        size = len(self._index)
        placed = order.to(self._index.device, non_blocking=True)
        padded = functional.pad(placed, (0, -len(order) % size), value=-1).view(-1, size)
        lengths = window_lengths(self.training.data, padded, self.examples.width)
        most = int((lengths if self.encoder.masked else (lengths - 1).clamp(min=0)).sum(1).max())
        if not self.table.prepare(num_steps) or most > self._num_positions:
            self._num_positions = max(self._num_positions, math.ceil(most * 1.02 / _ROUNDING) * _ROUNDING)
            self._graph, self._warm = None, 0
        return placed

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

    def make_example(self, index: Int[Tensor, " B"], num_positions: int, draws: Any) -> Example:
        """Return the example of sessions `index`, from the compiled function."""
        example: Example = self._example(index, num_positions, draws)
        return example

    def encode(self, batch_draws: Drawn, rows: Float[Tensor, "P D"]) -> Float[Tensor, "N D"]:
        """Return y_hat at each position, float32, from the compiled encoder."""
        batch = batch_draws.example.batch
        with torch.autocast("cuda", dtype=torch.bfloat16):
            states: Tensor = self._states(batch, rows, self.encoder.attention(batch))
        return states.float()

    def compare(self, batch_draws: Drawn, read: Any, states: Float[Tensor, "N D"]) -> Any:
        """Return the loss and its parts, from the compiled function."""
        return self._compare(batch_draws, read, states)

    def _eager(self) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # the compiler's advice to round float32 products: those of the encoder are bf16 already
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores", category=UserWarning)
            self.train(self._index, self._num_positions)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self.training.generator)
        with torch.cuda.graph(self._graph, stream=self._stream):
            self.train(self._index, self._num_positions)
