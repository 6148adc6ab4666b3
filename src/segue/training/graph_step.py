"""The training step of one GPU: a CUDA graph over packed sessions, the table's touched rows updated in place.

Nothing in a step waits for the host. Sessions carry no padding; the encoder is compiled; logits are never in memory;
rows that a batch holds more than once get one gradient by sorting, and so the same bytes each time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.batches.data import SessionData
from segue.batches.negatives import Full, Shared
from segue.batches.packed import Packing, PackShape, num_inputs, pack_causal
from segue.encoders.transformer import TransformerEncoder
from segue.kernels.attention import LONGEST, packed_attention
from segue.kernels.skip_contrastive import Gradients, Sessions, packed_skip_contrastive
from segue.kernels.softmax import PackedSoftmax, Targets
from segue.recipes import Recipe
from segue.training.graph_rows import TableStep, TouchedRows, WholeTable
from segue.training.optimisers import Optimisers

WARM_UP: Final = 3
"""Steps made before the graph is taken: kernels are compiled and memory found in them. They train as any other."""
_ROUNDING: Final = 512
"""Inputs are given room in multiples of this, so that epochs share a graph."""


def fits(encoder: object, recipe: Recipe) -> bool:
    """Return whether the graph step can train this encoder and recipe."""
    if not isinstance(encoder, TransformerEncoder) or encoder.masked:
        return False
    if not isinstance(recipe.next_track, Shared | Full):
        return False
    width, head = encoder.width, encoder.width // recipe.encoder.heads
    powers_of_two = width & (width - 1) == 0 and head & (head - 1) == 0
    return powers_of_two and width <= 256 and head >= 16 and recipe.data.max_len < LONGEST


class GraphStep:
    """One training step after another on a CUDA device."""

    def __init__(self, encoder: TransformerEncoder, recipe: Recipe, data: SessionData, candidates: Tensor,
                 optimisers: Optimisers, generator: torch.Generator, sums: Tensor) -> None:  # fmt: skip
        self.encoder, self.recipe, self.data, self.candidates = encoder, recipe, data, candidates
        self.optimisers, self.generator, self._sums = optimisers, generator, sums
        device = data.tracks.device
        longest = int((data.train_end - data.train_begin).max())
        self._width = min(longest, recipe.data.max_len + 1)
        self._index = torch.full((recipe.training.batch_size,), -1, dtype=torch.int64, device=device)
        sparse = isinstance(recipe.next_track, Shared)
        self._table: TableStep = TouchedRows(encoder, optimisers) if sparse else WholeTable(encoder)
        self._num_negatives = recipe.next_track.negatives if sparse else 0
        self._size, self._warm = 0, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        weights = [recipe.next_track.weight, *(term.weight for term in recipe.terms)]
        self._shares = [weight / sum(weights) for weight in weights]
        self._share = torch.tensor(self._shares, device=device)
        self._encode = torch.compile(self._states, dynamic=False)
        self._pack = torch.compile(pack_causal, dynamic=False)
        self._softmax = PackedSoftmax()
        self._stream = torch.cuda.Stream(device)

    def prepare(self, order: Tensor, num_steps: int) -> Tensor:
        """Return `order` (int64, on the CPU) on the device, with room made for `num_steps` batches of it."""
        size = self.recipe.training.batch_size
        placed = order.to(self._index.device, non_blocking=True)
        padded = functional.pad(placed, (0, -len(order) % size), value=-1).view(-1, size)
        most = int(num_inputs(self.data, padded, self._width).sum(1).max())
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

    def hand_back(self) -> None:
        """Let the optimiser know the steps made: what reads the table or its state comes after this."""
        self._table.hand_back()

    def _eager(self) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._whole()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self.generator)
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._whole()

    def _states(self, rows: Tensor, position: Tensor, start: Tensor, seeds: Tensor) -> Tensor:
        config = self.encoder.config
        longest, share, causal = self._width - 1, self.encoder.share, self.encoder.causal

        def attend(qkv: Tensor, block: int) -> Tensor:
            mixed: Tensor = packed_attention(qkv, start, seeds, block, config.heads, longest, share, causal)
            return mixed

        with torch.autocast("cuda", dtype=torch.bfloat16):
            return self.encoder.states(rows, position, attend).float()

    def _whole(self) -> None:
        """All of one step, on the device."""
        packing, ids = self._drawn()
        size, inputs = self._size, self._size + len(self._index)
        values = self._table.look_up(ids)
        seeds = torch.randint(2**31, (len(self.encoder.blocks),), generator=self.generator, device=ids.device)
        rows = values[:size].requires_grad_()
        states = self._encode(rows, packing.position, packing.start, seeds)
        losses, of_states, of_values = self._objectives(states.detach(), values, packing, ids[inputs:])
        for parameter in self.optimisers.parameters:
            parameter.grad = None
        states.backward(of_states)
        of_values[:size] += rows.grad
        self._update(ids, of_values)
        self._sums.add_(torch.stack(losses))

    def _drawn(self) -> tuple[Packing, Tensor]:
        """Return the packed batch, and the rows it looks up: inputs, last tracks, negatives."""
        config, device = self.recipe, self._index.device
        shape = PackShape(self._width, self._size, config.data.max_len)
        drawn = torch.rand(len(self._index), generator=self.generator, device=device)
        literal = config.encoder.position == "literal"
        packing = self._pack(self.data, self._index, shape, None if literal else drawn)
        chosen = torch.randint(
            len(self.candidates), (self._num_negatives,), generator=self.generator, device=device
        )
        return packing, torch.cat([packing.ids, self.candidates[chosen].int()])

    def _objectives(
        self, states: Tensor, values: Tensor, packing: Packing, negatives: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the losses (the whole first), and the gradients of the whole in states and looked-up rows."""
        config, inputs = self.recipe, len(packing.ids)
        of_values = torch.zeros_like(values)
        targets = Targets(packing.target, values, packing.target_place)
        compared = self._table.negatives(values[inputs:], negatives)
        if compared.gradient is None:
            compared = replace(compared, gradient=of_values[inputs:])
        loss, of_states, _ = self._softmax(states, targets, compared, of_values, self._shares[0])
        sessions = Sessions(packing.place, packing.tracks, packing.strength, config.data.skip_at_least)
        losses, into = [loss], Gradients(of_values, of_states)
        for part, term in zip(self._shares[1:], config.terms, strict=True):
            context = None if term.context == "track" else states
            losses.append(packed_skip_contrastive(values, context, sessions, term.temperature, into, part))
        return [torch.stack(losses) @ self._share, *losses], of_states, of_values

    def _update(self, ids: Tensor, of_values: Tensor) -> None:
        square = self._table.take(ids, of_values)
        grads = [parameter.grad for parameter in self.optimisers.parameters if parameter.grad is not None]
        norms = torch.stack(torch._foreach_norm(grads))
        norm = (norms.square().sum() + square).sqrt()
        scale = (self.recipe.training.clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(grads, scale)
        self.optimisers.step_rest()
        self._table.update(scale)
