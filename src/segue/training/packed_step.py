"""One training step over packed sessions, whatever the machine: draw, look up, encode, compare, move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from segue.batches.data import SessionData
from segue.batches.negatives import draw_targets
from segue.batches.next_track import Full, Mixed, Shared, num_shared
from segue.batches.packed import Forgetting, Packing, PackShape, pack_causal, pack_cloze
from segue.encoders.causal import CausalConfig
from segue.encoders.cloze import ClozeConfig
from segue.encoders.encoder import Encoder
from segue.encoders.transformer import TransformerEncoder
from segue.objectives.packed import Gradients, Known, Negatives, Sessions, SkipTerm, Targets
from segue.recipes import Recipe
from segue.store import MASK, UNKNOWN
from segue.training.features import draw_key
from segue.training.loss import part_weights
from segue.training.optimisers import Optimisers
from segue.training.packed_heads import Beside
from segue.training.targets import without_skipped
from segue.training.terms import TermDrawing, objective_of, packed_terms


@runtime_checkable
class TableStep(Protocol):
    """One step's view of the track table: by the rows it touches, or (full softmax) as a whole."""

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the rows `ids` (int32 [P]) as they are before the step, float32 [P, D]."""

    def negatives(self, values: Tensor, ids: Tensor) -> Negatives:
        """Return what targets are compared with; `values`, `ids` are the rows drawn for it."""

    def take(self, ids: Tensor, gradient: Tensor) -> Tensor:
        """Take the gradients [P, D] of the rows looked up; return their squared norm, scalar.

        0 where the table is one of the optimiser's `parameters`, whose norms are added up apart.
        """

    def update(self, scale: Tensor) -> None:
        """Make the step with the gradients times `scale` (scalar); the other parameters were moved just before."""

    def hand_back(self) -> None:
        """Let the optimiser know the steps made."""


@runtime_checkable
class Softmax(Protocol):
    """The next-track softmax and its gradients."""

    def __call__(
        self, states: Tensor, targets: Targets, negatives: Negatives, into: Tensor, scale: float = 1.0,
        known: Known | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the mean loss, and its gradients in states and negatives; those of the targets go `into`."""


@dataclass(frozen=True)
class Parts:
    """What differs from machine to machine."""

    table: TableStep
    softmax: Softmax
    skip_term: SkipTerm


@dataclass(frozen=True)
class Training:
    """What every step works on."""

    encoder: Encoder
    recipe: Recipe
    data: SessionData
    candidates: Tensor
    """Rows that may be drawn as negatives, int64 [C]."""
    optimisers: Optimisers
    generator: torch.Generator
    sums: Tensor
    """Where losses are added: the whole, then each part."""
    log_q: Tensor | None = None
    """What is added to the score of a negative, by table row, float32 [V + 3]; None = nothing."""


def special_share(config: object) -> float:
    """Return the share of inputs in whose place the encoder of `config` reads a special row in training."""
    if isinstance(config, ClozeConfig):
        return config.mask_share
    return config.unknown_share if isinstance(config, CausalConfig) else 0.0


def fits(encoder: Encoder, recipe: Recipe) -> bool:
    """Return whether a packed step can train this encoder and recipe; the plain step trains any."""
    if not isinstance(encoder, TransformerEncoder) or encoder.config.padding == "visible":
        return False
    config = recipe.next_track
    if recipe.data.earlier > 0:
        return False
    if isinstance(config, Full) and encoder.features is not None:
        return False
    return isinstance(config, Full | Shared | Mixed) and config.is_plain and config.targets != "next_listened"


class PackedStep(ABC):
    """One training step after another."""

    def __init__(self, training: Training, parts: Parts) -> None:
        assert isinstance(training.encoder, TransformerEncoder), "see fits"
        self.training, self.parts, self.encoder = training, parts, training.encoder
        recipe, data = training.recipe, training.data
        longest = int((data.train_end - data.train_begin).max())
        self.width = min(longest, recipe.data.max_len + (not self.encoder.masked))
        """Most tracks of a window; a causal one ends with a track that is a target only."""
        self.longest = self.width - (not self.encoder.masked)
        """Most inputs of a session."""
        self._num_uniform, self._num_batch = num_shared(recipe.next_track)
        weights = part_weights(recipe)
        self._shares = [weight / sum(weights) for weight in weights]
        self._share = torch.tensor(self._shares, device=data.tracks.device)
        self._drawing = TermDrawing(recipe, data, masked=self.encoder.masked)
        self._terms = [objective_of(term, parts.skip_term) for term in recipe.terms]
        self.pack = pack_cloze if self.encoder.masked else pack_causal
        self.special = MASK if self.encoder.masked else UNKNOWN
        """The row that the encoder reads where the packing says so."""
        self.special_share = special_share(recipe.encoder)

    def aimed(self, packing: Packing) -> Packing:
        """Return the packing with the targets that the recipe predicts."""
        if self.training.recipe.next_track.targets == "next":
            return packing
        return without_skipped(packing, self.training.recipe.data.skip_at_least)

    @abstractmethod
    def prepare(self, order: Tensor, num_steps: int) -> Tensor:
        """Return `order` (int64, on the CPU) where `step` wants it; `num_steps` steps of it follow."""

    @abstractmethod
    def step(self, index: Tensor) -> None:
        """Train on sessions `index`, a piece of what `prepare` returned, and add the losses to the sums."""

    @abstractmethod
    def encode(self, rows: Tensor, mask: Tensor, packing: Packing) -> Tensor:
        """Return y_hat [T, D] float32 of table rows [T, D], `mask` [1, D] standing where the packing says so."""

    def inputs(self, rows: Tensor, mask: Tensor, packing: Packing) -> Tensor:
        """Return what the encoder reads of each input but its position, [T, D]."""
        if self.special_share > 0.0 or self.encoder.masked:
            rows = torch.where(packing.masked[:, None], mask, rows)
        return self.encoder.heard(rows, packing.feedback, packing.context)

    def hand_back(self) -> None:
        """Let the optimiser know the steps made: what reads the table or its state comes after this."""
        self.parts.table.hand_back()

    def train(self, index: Tensor, size: int) -> None:
        """Train on sessions `index` (int64 [B], -1 = none), of at most `size` inputs."""
        packing, ids, sessions = self._drawn(index, size)
        inputs = len(packing.ids)
        values, features = self.parts.table.look_up(ids), self.encoder.features
        if features is not None:
            features.key = draw_key(self.training.generator)
            values = features.added_to(values, ids)
        rows, mask = values[:size].requires_grad_(), values[inputs : inputs + 1].requires_grad_()
        states = self.encode(rows, mask, packing)
        for parameter in self.training.optimisers.parameters:
            parameter.grad = None
        losses, of_states, of_values = self._objectives(states.detach(), values, packing, ids[inputs + 1 :], sessions)
        states.backward(of_states)  # type: ignore[no-untyped-call]
        assert rows.grad is not None, "every state depends on its row"
        of_values[:size] += rows.grad
        if mask.grad is not None:
            of_values[inputs : inputs + 1] += mask.grad
        if features is not None:
            of_values = features.take_back(of_values, ids)
            features.key = None
        self._update(ids, of_values)
        self.training.sums.add_(torch.stack(losses))

    def _drawn(self, index: Tensor, size: int) -> tuple[Packing, Tensor, list[Sessions]]:
        """Return the packed batch, the rows it looks up (its own, those of its terms, MASK, negatives), and what each
        term is told of it.

        Numbers are drawn in the order of the plain step, so that both see the same batch.
        """
        training, config = self.training, self.training.recipe
        generator, device = training.generator, index.device
        chosen = torch.randint(len(training.candidates), (self._num_uniform,), generator=generator, device=device)
        shape = PackShape(self.width, size, config.data.max_len)
        hidden: list[Any] = []
        if self.special_share > 0.0 or self.encoder.masked:
            drawn = torch.rand((len(index), self.width), generator=generator, device=device)
            hidden = [drawn < self.special_share]
        literal = config.encoder.position == "literal"
        offsets = None if literal else torch.rand(len(index), generator=generator, device=device)
        if config.data.context:
            drawn = torch.rand((len(index), len(config.data.context)), generator=generator, device=device)
            hidden = [*(hidden or [None]), Forgetting(drawn, config.data.context)]
        packing = self.pack(training.data, index, shape, offsets, *hidden)
        packing, sessions = packed_terms(config, packing, self._drawing.draw(len(index), generator))
        mask = torch.full((1,), self.special, dtype=torch.int32, device=device)
        ids = [packing.ids, mask, training.candidates[chosen].int()]
        if self._num_batch > 0:
            ids.append(draw_targets(self.aimed(packing).target, self._num_batch, generator))
        return packing, torch.cat(ids), sessions

    def _objectives(
        self, states: Tensor, values: Tensor, packing: Packing, negatives: Tensor, sessions: list[Sessions]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the losses (the whole first), and the gradients of the whole in states and looked-up rows."""
        config, inputs = self.training.recipe, len(packing.ids)
        of_values = torch.zeros_like(values)
        aimed = self.aimed(packing)
        targets = Targets(aimed.target, values, aimed.target_place)
        compared = self.parts.table.negatives(values[inputs + 1 :], negatives)
        if compared.gradient is None:
            log_q = self.training.log_q
            correction = None if log_q is None else log_q.index_select(0, negatives)
            compared = replace(compared, gradient=of_values[inputs + 1 :], correction=correction)
        heads = Beside(self.encoder, states, packing, config)
        heads.mix(aimed.target)
        loss, of_states, _ = self.parts.softmax(states, targets, compared, of_values, self._shares[0], heads.known)
        losses, into = [loss], Gradients(of_values, of_states)
        for part, term, make, told in zip(self._shares[1:], config.terms, self._terms, sessions, strict=False):
            context = None if term.context == "track" else states
            losses.append(make(values, context, told, term.temperature, into, part))
        losses += heads.backward(values, into, self._shares[-1])
        return [torch.stack(losses) @ self._share, *losses], of_states, of_values

    def _update(self, ids: Tensor, of_values: Tensor) -> None:
        square = self.parts.table.take(ids, of_values)
        grads = [parameter.grad for parameter in self.training.optimisers.parameters if parameter.grad is not None]
        norms = torch.stack(torch._foreach_norm(grads))
        norm = (norms.square().sum() + square).sqrt()
        scale = (self.training.recipe.training.clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(grads, scale)
        self.training.optimisers.step_rest()
        self.parts.table.update(scale)
