"""The training step of one GPU: a CUDA graph over packed sessions, the table's touched rows updated in place.

Nothing in a step waits for the host. Sessions carry no padding; the encoder is compiled; logits are never in memory;
rows that a batch holds more than once get one gradient by sorting, and so the same bytes each time.
"""

from __future__ import annotations

import math
import warnings
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.batches.next_track import Full
from segue.batches.packed import Packing, window_lengths
from segue.encoders.encoder import Encoder
from segue.kernels.attention import LONGEST, packed_attention
from segue.kernels.skip_contrastive import packed_skip_contrastive
from segue.kernels.softmax import PackedSoftmax
from segue.recipes import Recipe
from segue.training import packed_step
from segue.training.graph_rows import TouchedRows, add_to
from segue.training.packed_step import PackedStep, Parts, Training
from segue.training.whole_table import WholeTable

WARM_UP: Final = 3
"""Steps made before the graph is taken: kernels are compiled and memory found in them. They train as any other."""
_ROUNDING: Final = 512
"""Inputs are given room in multiples of this, so that epochs share a graph."""
_MOST_WIDTH: Final = 256
_LEAST_HEAD: Final = 16
"""What the kernels' tiles hold; widths must be powers of two besides."""


def fits(encoder: Encoder, recipe: Recipe) -> bool:
    """Return whether the kernels can train this encoder and recipe."""
    if not packed_step.fits(encoder, recipe) or recipe.data.max_len >= LONGEST:
        return False
    width, head = encoder.width, encoder.width // recipe.encoder.heads
    powers_of_two = width & (width - 1) == 0 and head & (head - 1) == 0
    return powers_of_two and width <= _MOST_WIDTH and head >= _LEAST_HEAD


class GraphStep(PackedStep):
    """One training step after another on a CUDA device."""

    def __init__(self, training: Training) -> None:
        full = isinstance(training.recipe.next_track, Full)
        rows = WholeTable(training.encoder, add_to) if full else TouchedRows(training.encoder, training.optimisers)
        super().__init__(training, Parts(rows, PackedSoftmax(), packed_skip_contrastive))
        self._table: TouchedRows | WholeTable = rows
        device = training.data.tracks.device
        self._index = torch.full((training.recipe.training.batch_size,), -1, dtype=torch.int64, device=device)
        self._size, self._warm = 0, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._encode = torch.compile(self._states, dynamic=False)
        self.pack = torch.compile(self.pack, dynamic=False)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def prepare(self, order: Tensor, num_steps: int) -> Tensor:
        """Return `order` (int64, on the CPU) on the device, with room made for `num_steps` batches of it."""
        size = len(self._index)
        placed = order.to(self._index.device, non_blocking=True)
        padded = functional.pad(placed, (0, -len(order) % size), value=-1).view(-1, size)
        lengths = window_lengths(self.training.data, padded, self.width)
        most = int((lengths if self.encoder.masked else (lengths - 1).clamp(min=0)).sum(1).max())
        if not self._table.prepare(num_steps) or most > self._size:
            self._size = max(self._size, math.ceil(most * 1.02 / _ROUNDING) * _ROUNDING)
            self._graph, self._warm = None, 0
        return placed

    def step(self, index: Tensor) -> None:
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
            # the compiler's advice to round float32 products: those of the encoder are bf16 already
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores", category=UserWarning)
            self.train(self._index, self._size)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self.training.generator)
        with torch.cuda.graph(self._graph, stream=self._stream):
            self.train(self._index, self._size)

    def encode(self, rows: Tensor, mask: Tensor, packing: Packing) -> Tensor:
        """Return y_hat [T, D] float32, from the compiled encoder in bf16."""
        # from torch's global generator, as all dropout: the batches' own generator goes as in the plain step
        seeds = torch.randint(2**31, (len(self.encoder.blocks),), device=rows.device)
        states: Tensor = self._encode(rows, mask, packing, seeds)
        return states

    def _states(self, rows: Tensor, mask: Tensor, packing: Packing, seeds: Tensor) -> Tensor:
        heads, start, longest = self.encoder.config.heads, packing.start, self.longest
        share, causal = self.encoder.share, self.encoder.causal

        def attend(qkv: Tensor, block: int) -> Tensor:
            mixed: Tensor = packed_attention(qkv, start, seeds, block, heads, longest, share, causal)
            return mixed

        with torch.autocast("cuda", dtype=torch.bfloat16):
            return self.encoder.states(self.inputs(rows, mask, packing), packing.position, attend).float()
