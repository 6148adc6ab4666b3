"""One training step, on any device: draw, look up, encode, compare, move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor

from segue import skips
from segue.axes import Float, Int
from segue.batches.data import SessionData
from segue.batches.example import Example, ExampleConfig, draw_example, make_example, window_lengths, with_rule
from segue.batches.negatives import draw_per_session, draw_shared, draw_targets
from segue.losses import TERMS, LossInputs, SessionNegatives, TermDraws
from segue.model import Encoder
from segue.model.heads import HEADS, Head, Predicted
from segue.objectives import Mixture, Negatives, combine
from segue.objectives.log_sum import WIDEST_KERNEL
from segue.recipes import Recipe
from segue.training.memory import keep_freed_memory
from segue.training.optimisers import Optimisers
from segue.training.table import AdamRows, TableRows, WholeTable

CLIP: Final = 5.0
"""Largest global norm of the gradient (the paper)."""
_CPU_ROUNDING: Final = 128
"""Positions are rounded up to a multiple of this: a matrix product of a new shape is compiled first."""


@dataclass(frozen=True)
class Training:
    """What every step reads and changes."""

    encoder: Encoder
    recipe: Recipe
    data: SessionData
    candidates: Int[Tensor, " C"]
    """Rows that may be drawn as negatives, ascending."""
    optimisers: Optimisers
    generator: torch.Generator
    sums: Float[Tensor, " parts"]
    """Losses are added here: the whole, then each part."""
    log_q: Float[Tensor, " R"] | None
    """Added to the score of a negative, by table row; None = nothing."""
    bf16: bool
    """Whether matrix products are rounded to bfloat16. The table, losses and sums are float32."""


@dataclass(frozen=True)
class Drawn:
    """A batch and all that was drawn for it."""

    example: Example
    """With the targets of the recipe's rule."""
    negatives: Int[Tensor, " M"] | Int[Tensor, "B M"]
    terms: Sequence[TermDraws]
    key: Int[Tensor, " one"]
    """Decides which table rows features replace in this step."""


def part_names(recipe: Recipe) -> list[str]:
    """Return the names of the parts of a recipe's loss, in order."""
    kinds = {kind: name for name, kind in TERMS.items()}
    terms = [kinds[type(term)] + (f"_{i}" if i else "") for i, term in enumerate(recipe.terms)]
    return ["next_track", *terms, *_heads_with_loss(recipe)]


def part_weights(recipe: Recipe) -> list[float]:
    """Return the weights of the parts of a recipe's loss, in order."""
    heads = [recipe.heads[name].weight for name in _heads_with_loss(recipe)]
    return [recipe.next_track.weight, *(term.weight for term in recipe.terms), *heads]


def _heads_with_loss(recipe: Recipe) -> list[str]:
    return [name for name, head in HEADS.items() if name in recipe.heads and head.has_loss]


class TrainingStep:
    """One training step after another."""

    def __init__(self, training: Training, table: TableRows | None = None) -> None:
        """`table`: how the track table is read and moved; None = the form for any device."""
        self.training, self.encoder = training, training.encoder
        recipe, data, encoder = training.recipe, training.data, training.encoder
        if table is None:
            table = WholeTable(encoder) if recipe.next_track.reads_table else AdamRows(training.optimisers)
        self.table = table
        masked, max_len = encoder.masked, recipe.data.max_len
        longest = int((data.train_end - data.train_begin).max())
        self.examples = ExampleConfig(
            masked=masked,
            max_len=max_len,
            width=min(longest, max_len + (not masked)),
            replaced_share=recipe.encoder.replaced_share,
            shifted=recipe.encoder.position != "literal",
        )
        self._term_width = max_len + (not masked)
        self._reads_windows = bool(recipe.terms) or recipe.next_track.own_skips
        self._names, self._weights = part_names(recipe), part_weights(recipe)
        if training.candidates.device.type == "cpu":
            keep_freed_memory()

    def prepare(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order` (on the CPU) where `step` reads it; `num_steps` steps of it follow."""
        self.table.prepare(num_steps)
        return order.to(self.training.candidates.device)

    def step(self, index: Int[Tensor, " B"]) -> None:
        """Train on sessions `index`, a piece of what `prepare` returned, and add the losses to the sums."""
        lengths = window_lengths(self.training.data, index, self.examples.width)
        num_positions = int(lengths.sum()) - (0 if self.encoder.masked else len(index))
        self.train(index, -(-num_positions // _CPU_ROUNDING) * _CPU_ROUNDING)

    def hand_back(self) -> None:
        """Tell the optimiser which steps were made: reading the table or its state comes after this."""
        self.table.hand_back()

    def train(self, index: Int[Tensor, " B"], num_positions: int) -> None:
        """Train on sessions `index` (-1 = none) of at most `num_positions` positions together."""
        batch_draws = self.draw(index, num_positions)
        rows = _Rows(self.encoder, self.examples.special_row, batch_draws)
        looked_up = self.table.look_up(rows.ids).requires_grad_()
        for parameter in self.training.optimisers.parameters:
            parameter.grad = None
        read = rows.read(looked_up)
        loss, losses = self.compare(batch_draws, read, self.encode(batch_draws, read.encoder_rows))
        loss.backward()  # type: ignore[no-untyped-call]
        assert looked_up.grad is not None, "every state depends on its row"
        self._update(rows.ids, looked_up.grad)
        self.training.sums.add_(torch.stack([loss.detach(), *(part.detach() for part in losses)]))

    def draw(self, index: Int[Tensor, " B"], num_positions: int) -> Drawn:
        """Return the batch of sessions `index`, with its negatives and what its terms draw."""
        training, config = self.training, self.training.recipe.next_track
        generator, candidates = training.generator, training.candidates
        draws = draw_example(self.examples, training.data, (len(index), num_positions), generator)
        example = self.make_example(index, num_positions, draws)
        if config.num_per_session:
            negatives = draw_per_session(example.window, candidates, config.num_per_session, generator)
        else:
            negatives = draw_shared(candidates, config.num_uniform, generator)
            if config.num_from_targets:
                from_targets = draw_targets(example.target, config.num_from_targets, generator)
                negatives = torch.cat([negatives, from_targets])
        terms = []
        for term in training.recipe.terms:
            batch_draws = term.draw((len(index), self._term_width), training.data, generator)
            terms.append(batch_draws.narrowed(self.examples.width))
        key = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        return Drawn(example, negatives, terms, key)

    def make_example(self, index: Int[Tensor, " B"], num_positions: int, draws: Any) -> Example:
        """Return the example of sessions `index` with the targets of the recipe's rule."""
        recipe = self.training.recipe
        example = make_example(self.examples, self.training.data, index, num_positions, draws)
        return with_rule(example, recipe.next_track.targets, recipe.data.skip_at_least)

    def encode(self, batch_draws: Drawn, rows: Float[Tensor, "P D"]) -> Float[Tensor, "N D"]:
        """Return y_hat at each position, float32."""
        batch, device = batch_draws.example.batch, rows.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.training.bf16):
            return self.encoder.states_with(batch, rows, self.encoder.attention(batch)).float()

    def compare(
        self, batch_draws: Drawn, read: _Read, states: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, ""], list[Float[Tensor, ""]]]:
        """Return the loss, and the losses of its parts in the order of `part_names`."""
        recipe, example = self.training.recipe, batch_draws.example
        predicted = Predicted(
            states,
            example.ids[: len(states)],
            example.target,
            skips.listened(example.target_feedback, recipe.data.skip_at_least),
            skips.skipped(example.target_feedback, recipe.data.skip_at_least),
        )
        heads = [head for head in self.encoder.heads.values() if isinstance(head, Head)]
        scene = self.scene(
            batch_draws, states, read.own_rows, self._negatives(batch_draws, read), _mixture(heads, predicted)
        )
        with torch.autocast(states.device.type, dtype=torch.bfloat16, enabled=self.training.bf16):
            losses = [recipe.next_track.mean_loss(scene)]
        for term, draws, rows in zip(recipe.terms, batch_draws.terms, read.term_rows, strict=True):
            losses.append(term.mean_loss(scene, draws, rows))
        losses += [head.loss(predicted, scene.target_rows) for head in heads if head.has_loss]
        return combine(dict(zip(self._names, zip(self._weights, losses, strict=True), strict=True))), losses

    def scene(
        self,
        batch_draws: Drawn,
        states: Float[Tensor, "N D"],
        own_rows: Float[Tensor, "I D"],
        negatives: Negatives | SessionNegatives | None = None,
        mixture: Mixture | None = None,
    ) -> LossInputs:
        """Return what losses are computed from. `own_rows`: table rows of `Example.ids`."""
        target_rows, window_rows = _read_again(own_rows, batch_draws.example, self._reads_windows)
        return LossInputs(
            batch_draws.example, states, target_rows, negatives, self._table_rows(batch_draws), window_rows, mixture,
            self.training.recipe.data.skip_at_least, self.encoder.num_tracks,
        )  # fmt: skip

    def _negatives(self, batch_draws: Drawn, read: _Read) -> Negatives | SessionNegatives | None:
        if self.training.recipe.next_track.reads_table:
            return None
        if batch_draws.negatives.dim() == 2:
            return SessionNegatives(read.negative_rows.view(*batch_draws.negatives.shape, -1))
        log_q = self.training.log_q
        correction = None if log_q is None else log_q.index_select(0, batch_draws.negatives)
        return Negatives(read.negative_rows, batch_draws.negatives, correction)

    def _table_rows(self, batch_draws: Drawn) -> Float[Tensor, "R D"] | None:
        if not self.training.recipe.next_track.reads_table:
            return None
        weight = self.encoder.table.weight
        return self.encoder.track_rows(weight, torch.arange(len(weight), device=weight.device), batch_draws.key)

    def _update(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> None:
        square = self.table.take(ids, gradient)
        grads = [parameter.grad for parameter in self.training.optimisers.parameters if parameter.grad is not None]
        norms = torch.stack(torch._foreach_norm(grads))
        norm = (norms.square().sum() + square).sqrt()
        scale = (CLIP / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch's own clipping
        torch._foreach_mul_(grads, scale)
        self.training.optimisers.step_rest()
        self.table.update(scale)


def _mixture(heads: Sequence[Head], predicted: Predicted) -> Mixture | None:
    mixtures = [mixture for mixture in (head.mixture(predicted) for head in heads) if mixture is not None]
    assert len(mixtures) <= 1, "one head mixes into the softmax"
    return mixtures[0] if mixtures else None


@dataclass(frozen=True)
class _Read:
    """The rows that a step looked up, by what they are for."""

    encoder_rows: Tensor
    """Of the positions, then of the tracks that inputs look up."""
    own_rows: Tensor
    """Of `Example.ids`."""
    negative_rows: Tensor
    """[M, D], or of draws for each session [B * M, D]."""
    term_rows: Sequence[Tensor | None]
    """[B, W, D] of the tracks that each term drew."""


class _Rows:
    """Which table rows a step looks up: all of them at once, each use at a place of its own."""

    def __init__(self, encoder: Encoder, special_row: int, batch_draws: Drawn) -> None:
        self._encoder, self._drawn = encoder, batch_draws
        example = batch_draws.example
        special = example.ids.new_full((1,), special_row)
        tracks = [draws.tracks.flatten() for draws in batch_draws.terms if draws.tracks is not None]
        parts = [example.ids, special, *encoder.input_tracks(example.batch), batch_draws.negatives.flatten(), *tracks]
        self._sizes = [len(part) for part in parts]
        self.ids: Tensor = torch.cat([part.to(example.ids.dtype) for part in parts])

    def read(self, looked_up: Float[Tensor, "P D"]) -> _Read:
        """Return the rows by what they are for."""
        batch_draws, example = self._drawn, self._drawn.example
        looked_up = self._encoder.track_rows(looked_up, self.ids, batch_draws.key)
        own_rows, special, *others = torch.split(looked_up, self._sizes)
        num_inputs = len(self._encoder.input_tracks(example.batch))
        positions = own_rows[: len(example.batch.tracks)]
        if example.replaced is not None:
            positions = torch.where(example.replaced[:, None], special, positions)
        encoder_rows = torch.cat([positions, *others[:num_inputs]]) if num_inputs else positions
        remaining = iter(others[num_inputs + 1 :])
        term_rows = [
            None if draws.tracks is None else next(remaining).view(*draws.tracks.shape, -1)
            for draws in batch_draws.terms
        ]
        return _Read(encoder_rows, own_rows, others[num_inputs], term_rows)


def _read_again(own_rows: Tensor, example: Example, windows: bool) -> tuple[Tensor, Tensor | None]:
    """Return the rows of the targets, and of the windows where they are read."""
    if not windows:
        return own_rows.index_select(0, example.target_place), None
    id_index = example.window.id_index
    target_rows, window_rows = _TwoReaders.apply(own_rows, example.target_place, id_index.flatten())  # type: ignore[no-untyped-call]
    return target_rows, window_rows.view(*id_index.shape, -1)


class _TwoReaders(torch.autograd.Function):
    """rows[one], rows[other]: the gradients of both are added up in one buffer.

    No two places of one reader are equal, so that no sum depends on an order of adding. (Readers without a track read
    place 0, and their gradient is exactly 0.)
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        context.save_for_backward(one, other)
        context.num = len(rows)
        return rows.index_select(0, one), rows.index_select(0, other)

    @staticmethod
    def backward(context: Any, of_one: Tensor, of_other: Tensor) -> tuple[Tensor, None, None]:
        one, other = context.saved_tensors
        result = of_one.new_zeros((context.num, of_one.shape[1]))
        result.index_add_(0, one, of_one)
        result.index_add_(0, other, of_other)
        return result, None, None


def fits_graph(training: Training) -> bool:
    """Return whether a step can be captured as a CUDA graph: nothing in it may wait for the host."""
    width = training.encoder.width
    rows_fit = width & (width - 1) == 0 and width <= WIDEST_KERNEL
    on_gpu = training.candidates.device.type == "cuda" and training.bf16
    return on_gpu and rows_fit and find_spec("triton") is not None
