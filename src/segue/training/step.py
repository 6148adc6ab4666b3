"""One training step, on any device.

1. Draw: sessions become a batch with targets, and negatives are drawn.
2. Look up: the table rows of all these tracks are read at once, as one leaf tensor of autograd.
3. Encode: the encoder turns the rows of the positions into states.
4. Compare: the losses compare states with the rows of targets and negatives.
5. Update: gradients are clipped to a common norm, and Adam moves the parameters and the rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import torch
from torch import Tensor

from segue import skips
from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.example import Example, ExampleConfig, draw_example, make_example, window_lengths, with_rule
from segue.batches.negatives import draw_per_session, draw_shared, draw_targets
from segue.losses import TERMS, LossInputs, SessionNegatives, TermDraws
from segue.model import Encoder
from segue.model.encoders.blocks import Attend
from segue.model.heads import HEADS, Head, Predicted
from segue.objectives import Mixture, Negatives, combine
from segue.recipes import Recipe
from segue.training.optimisers import Optimisers
from segue.training.process import keep_freed_memory
from segue.training.table_rows import TableRows, WholeTable

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
    """Table rows that may be drawn as negatives, ascending."""
    optimisers: Optimisers
    generator: torch.Generator
    sums: Float[Tensor, " parts"]
    """Each step adds its losses here: the weighted mean, then each part."""
    log_q: Float[Tensor, " R"] | None
    """Added to the score of a negative, by table row; None = nothing is added."""
    bf16: bool
    """Whether matrix products are rounded to bfloat16. The table, losses and sums are float32."""


@dataclass(frozen=True)
class BatchDraws:
    """A batch and the random numbers of its step."""

    example: Example
    """With the targets of the recipe's rule."""
    negatives: Int[Tensor, " M"] | Int[Tensor, "B M"]
    """Table rows, for the whole batch or for each session."""
    terms: Sequence[TermDraws]
    """What each term of the loss draws."""
    key: Int[Tensor, " one"]
    """Decides in which table rows features stand in for the track in this step."""


@dataclass(frozen=True)
class BatchRows:
    """The table rows that a step reads, by use."""

    encoder: Tensor
    """Of the positions as the encoder reads them, then of the places of histories."""
    targets: Tensor
    """[N, D]; any row where there is no target."""
    windows: Tensor | None
    """[B, W, D], of the training windows where a loss reads them."""
    negatives: Tensor
    """[M, D], or [B * M, D]."""
    terms: Sequence[Tensor | None]
    """[B, W, D], of the tracks that each term draws."""


def part_weights(recipe: Recipe) -> dict[str, float]:
    """Return the weight of each part of a recipe's loss, by name and in order."""
    kinds = {kind: name for name, kind in TERMS.items()}
    terms = {kinds[type(term)] + (f"_{i}" if i else ""): term.weight for i, term in enumerate(recipe.terms)}
    with_loss = [name for name, head in HEADS.items() if name in recipe.heads and head.has_loss]
    heads = {name: recipe.heads[name].weight for name in with_loss}
    return {"next_track": recipe.next_track.weight, **terms, **heads}


class TrainingStep:
    """One training step after another."""

    def __init__(self, training: Training, table: TableRows | None = None) -> None:
        """`table`: how the track table is read and moved; None = in the way that suits any device."""
        self.training, self.encoder = training, training.encoder
        recipe, data, encoder = training.recipe, training.data, training.encoder
        if table is None:
            table = WholeTable(encoder) if recipe.next_track.reads_table else training.optimisers.table_rows
        self.table = table
        masked, max_len = encoder.masked, recipe.data.max_len
        longest = int((data.train_end - data.train_begin).max())
        self.examples = ExampleConfig(
            masked=masked,
            max_len=max_len,
            width=min(longest, max_len + (not masked)),
            replaced_share=recipe.encoder.replaced_share,
            shifted=recipe.encoder.position != "literal" and not encoder.reads_histories,
        )
        self._term_width = max_len + (not masked)
        self._reads_windows = bool(recipe.terms) or recipe.next_track.own_skips
        self._weights = part_weights(recipe)
        self.add_at: Callable[[Tensor, Tensor, Tensor], object] = _add_at
        if training.candidates.device.type == "cpu":
            keep_freed_memory()

    def prepare(self, order: Int[Tensor, " n"], num_steps: int) -> Int[Tensor, " n"]:
        """Return `order` on the device: the sessions (on the CPU) of the next `num_steps` steps."""
        self.table.prepare(num_steps)
        return order.to(self.training.candidates.device)

    def step(self, index: Int[Tensor, " B"]) -> None:
        """Train on sessions `index`, a slice of what `prepare` returned, and add the losses to the sums."""
        lengths = window_lengths(self.training.data, index, self.examples.width)
        num_positions = int(lengths.sum()) - (0 if self.encoder.masked else len(index))
        self.train(index, -(-num_positions // _CPU_ROUNDING) * _CPU_ROUNDING)

    def train(self, index: Int[Tensor, " B"], num_positions: int) -> None:
        """Train on sessions `index` (-1 = none) of at most `num_positions` positions together."""
        batch_draws = self.draw(index, num_positions)
        ids, sizes = self.row_ids(batch_draws)
        looked_up = self.table.look_up(ids).requires_grad_()
        for parameter in self.training.optimisers.parameters:
            parameter.grad = None
        rows = self.rows_by_use(batch_draws, ids, sizes, looked_up)
        loss, losses = self.compare(batch_draws, rows, self.encode(batch_draws, rows.encoder))
        loss.backward()  # type: ignore[no-untyped-call]
        assert looked_up.grad is not None, "every state depends on its row"
        self._update(ids, looked_up.grad)
        self.training.sums.add_(torch.stack([loss.detach(), *(part.detach() for part in losses)]))

    def num_places(self, index: Int[Tensor, " B"]) -> int:
        """Return the room for places of histories in the batch of sessions `index`; 0 where none are read."""
        histories = self.training.data.histories
        return 0 if histories is None else -(-int(histories.num_places(index)) // _CPU_ROUNDING) * _CPU_ROUNDING

    def draw(self, index: Int[Tensor, " B"], num_positions: int) -> BatchDraws:
        """Return the batch of sessions `index`, with its negatives and what its terms draw."""
        training, config = self.training, self.training.recipe.next_track
        generator, candidates = training.generator, training.candidates
        size = len(index), num_positions
        draws = draw_example(self.examples, training.data, size, generator, self.num_places(index))
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
            term_draws = term.draw((len(index), self._term_width), training.data, generator)
            terms.append(term_draws.narrowed(self.examples.width))
        key = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        return BatchDraws(example, negatives, terms, key)

    def make_example(self, index: Int[Tensor, " B"], num_positions: int, draws: Any) -> Example:
        """Return the example of sessions `index` with the targets of the recipe's rule."""
        recipe = self.training.recipe
        example = make_example(self.examples, self.training.data, index, num_positions, draws)
        return with_rule(example, recipe.next_track.targets, recipe.data.skip_at_least)

    def row_ids(self, batch_draws: BatchDraws) -> tuple[Int[Tensor, " P"], list[int]]:
        """Return the table rows that a step reads, one use after another, and how many each use has.

        The uses: `Example.ids`, the row that replaces tracks, the tracks of histories, the negatives, each term's
        tracks.
        """
        example = batch_draws.example
        special = example.ids.new_full((1,), self.examples.special_row)
        tracks = [draws.tracks.flatten() for draws in batch_draws.terms if draws.tracks is not None]
        histories = [] if example.batch.history is None else [example.batch.history.sequences.tracks]
        parts = [example.ids, special, *histories, batch_draws.negatives.flatten(), *tracks]
        return torch.cat([part.to(example.ids.dtype) for part in parts]), [len(part) for part in parts]

    def rows_by_use(
        self, batch_draws: BatchDraws, ids: Int[Tensor, " P"], sizes: list[int], table_rows: Float[Tensor, "P D"]
    ) -> BatchRows:
        """Return the rows by use. `ids`, `sizes`: as `row_ids` returns them; `table_rows`: the rows of `ids`."""
        example = batch_draws.example
        rows = self.encoder.track_rows(table_rows, ids, batch_draws.key)
        window = example.window.id_index
        spans = [slice(end - size, end) for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]
        reads = [slice(0, len(example.batch.tracks)), *spans[1:], example.target_place]
        if self._reads_windows:
            reads.append(window.flatten())
        positions, special, *others = _Reads.apply(rows, self.add_at, *reads)  # type: ignore[no-untyped-call]
        if example.replaced is not None:
            positions = torch.where(example.replaced[:, None], special, positions)
        windows = others.pop().view(*window.shape, -1) if self._reads_windows else None
        targets = others.pop()
        num_histories = int(example.batch.history is not None)
        remaining = iter(others[num_histories + 1 :])
        terms = [
            None if draws.tracks is None else next(remaining).view(*draws.tracks.shape, -1)
            for draws in batch_draws.terms
        ]
        encoder_rows = torch.cat([positions, *others[:num_histories]]) if num_histories else positions
        return BatchRows(encoder_rows, targets, windows, others[num_histories], terms)

    def encode(self, batch_draws: BatchDraws, rows: Float[Tensor, "P D"]) -> Float[Tensor, "N D"]:
        """Return y_hat at each position, float32."""
        batch = batch_draws.example.batch
        with torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=self.training.bf16):
            return self.states(batch, rows, self.encoder.attention(batch))

    def states(self, batch: Batch, rows: Float[Tensor, "P D"], attend: Attend | None) -> Float[Tensor, "N D"]:
        """Return y_hat at each position, float32, with a given attention."""
        return self.encoder.states_with(batch, rows, attend).float()

    def compare(
        self, batch_draws: BatchDraws, rows: BatchRows, states: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, ""], list[Float[Tensor, ""]]]:
        """Return the loss, and the losses of its parts in the order of `part_weights`."""
        recipe, example = self.training.recipe, batch_draws.example
        judged = recipe.next_track.targets != "next_day"  # there all targets were listened to
        predicted = Predicted(
            states,
            example.ids[: len(states)],
            example.target,
            judged & skips.listened(example.target_feedback, recipe.data.skip_at_least),
            judged & skips.skipped(example.target_feedback, recipe.data.skip_at_least),
            example.batch,
            rows.encoder[: len(states)],
            example.following,
        )
        heads = [head for head in self.encoder.heads.values() if isinstance(head, Head)]
        of_heads = [head.mixture(predicted) for head in heads]
        mixtures = [mixture for mixture in of_heads if mixture is not None]
        mixture = reduce(Mixture.beside, mixtures) if mixtures else None
        inputs = self.loss_inputs(batch_draws, states, rows, mixture)
        with torch.autocast(states.device.type, dtype=torch.bfloat16, enabled=self.training.bf16):
            losses = [recipe.next_track.mean_loss(inputs)]
        for term, draws, term_rows in zip(recipe.terms, batch_draws.terms, rows.terms, strict=True):
            losses.append(term.mean_loss(inputs, draws, term_rows))
        losses += [head.loss(predicted, inputs.target_rows) for head in heads if head.has_loss]
        weighted = zip(self._weights.values(), losses, strict=True)
        return combine(dict(zip(self._weights, weighted, strict=True))), losses

    def loss_inputs(
        self,
        batch_draws: BatchDraws,
        states: Float[Tensor, "N D"],
        rows: BatchRows,
        mixture: Mixture | None = None,
    ) -> LossInputs:
        """Return what losses are computed from."""
        example, table_rows = batch_draws.example, None
        if self.training.recipe.next_track.reads_table:
            weight = self.encoder.table.weight
            every_row = torch.arange(len(weight), device=weight.device)
            table_rows = self.encoder.track_rows(weight, every_row, batch_draws.key)
        return LossInputs(
            example, states, rows.targets, self._negatives(batch_draws, rows.negatives), table_rows, rows.windows,
            mixture, rows.encoder[: len(states)], self.training.recipe.data.skip_at_least, self.encoder.num_tracks,
        )  # fmt: skip

    def _negatives(self, batch_draws: BatchDraws, rows: Float[Tensor, "n D"]) -> Negatives | SessionNegatives | None:
        """Return the negatives with their rows; None where every track is a negative."""
        tracks, log_q = batch_draws.negatives, self.training.log_q
        if self.training.recipe.next_track.reads_table:
            return None
        if tracks.dim() == 2:
            return SessionNegatives(rows.view(*tracks.shape, -1))
        return Negatives(rows, tracks, None if log_q is None else log_q.index_select(0, tracks))

    def _update(self, ids: Int[Tensor, " P"], gradient: Float[Tensor, "P D"]) -> None:
        """Move table and parameters by their gradients, scaled to a common norm of at most CLIP."""
        square = self.table.take(ids, gradient)
        grads = [parameter.grad for parameter in self.training.optimisers.parameters if parameter.grad is not None]
        norms = torch.stack(torch._foreach_norm(grads))
        norm = (norms.square().sum() + square).sqrt()
        scale = (CLIP / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch's own clipping
        torch._foreach_mul_(grads, scale)
        self.training.optimisers.step_rest()
        self.table.update(scale)


class _Reads(torch.autograd.Function):
    """Several reads of the same rows [P, D]: slices, which come first, ascend and do not overlap, and indices.

    The gradients are written into one tensor. Autograd alone would make a zero-filled gradient of all rows for each
    read, and add these up one by one. `add_at(gradient, index, of_read)` adds the gradients of an index read. No row is
    read twice through the same index, so that the order of adding does not matter. (Only row 0 is repeated, where there
    is nothing to read; the gradients of those places are exactly 0.)
    """

    @staticmethod
    def forward(
        context: Any, rows: Tensor, add_at: Callable[..., object], *reads: slice | Tensor
    ) -> tuple[Tensor, ...]:
        context.set_materialize_grads(False)
        context.shape, context.add_at, context.reads = rows.shape, add_at, reads
        return tuple(rows[read] if isinstance(read, slice) else rows.index_select(0, read) for read in reads)

    @staticmethod
    def backward(context: Any, *of_reads: Tensor | None) -> tuple[Tensor | None, ...]:
        result = next(grad for grad in of_reads if grad is not None).new_empty(context.shape)
        end = 0
        for read, grad in zip(context.reads, of_reads, strict=True):
            if isinstance(read, slice) and grad is not None:
                result[end : read.start] = 0.0
                result[read] = grad
                end = read.stop
        result[end:] = 0.0
        for read, grad in zip(context.reads, of_reads, strict=True):
            if isinstance(read, Tensor) and grad is not None:
                context.add_at(result, read, grad)
        return result, None, *(None for _ in context.reads)


def _add_at(out: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add the rows to those of `out` that `index` names."""
    out.index_add_(0, index, rows)
