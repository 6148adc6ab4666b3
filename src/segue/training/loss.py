"""The loss of one batch: next_track and the recipe's terms, each a named part (method, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from segue.batches import negatives as kinds
from segue.batches.causal import causal_example
from segue.batches.cloze import cloze_example
from segue.batches.data import Window
from segue.batches.example import Example
from segue.encoders.causal import CausalConfig
from segue.encoders.encoder import Encoder
from segue.events import skips
from segue.objectives import combine, full_softmax_loss, sampled_softmax_loss
from segue.objectives.roles import Heard
from segue.objectives.variants import Drawn, varied_skip_loss
from segue.recipes import Recipe, SkipContrastive
from segue.training.heads import LISTEN_PART, Predicted, known_masses, listen_loss
from segue.training.terms import variant_of

NEXT_TRACK_PART: Final = "next_track"


@dataclass(frozen=True)
class Scene:
    """What the next_track kinds need to know of a batch."""

    encoder: Encoder
    window: Window
    example: Example
    states: Tensor
    """[B, L, D] float32."""
    negatives: kinds.Drawn
    """What `DRAWS` drew for it."""

    @property
    def predicted(self) -> Predicted:
        """Every position of the batch, padding included."""
        example, window = self.example, self.window
        last = window.tracks[:, : example.target.shape[1]]
        target = example.target * example.targets
        states = self.states.flatten(0, 1)
        return Predicted(states, last.flatten(), target.flatten(), example.target_feedback.flatten())

    @property
    def known(self) -> tuple[Tensor, Tensor] | None:
        """What transitions add to the softmax, [B, L] each."""
        masses, shape = known_masses(self.encoder, self.predicted), self.example.target.shape
        return None if masses is None else (masses[0].view(shape), masses[1].view(shape))


def part_names(recipe: Recipe) -> list[str]:
    """Return the names of the parts of a recipe's loss, in order."""
    terms = ["skip_contrastive" if i == 0 else f"skip_contrastive_{i}" for i in range(len(recipe.terms))]
    return [NEXT_TRACK_PART, *terms, *([LISTEN_PART] if recipe.heads.listen is not None else [])]


def part_weights(recipe: Recipe) -> list[float]:
    """Return the weights of the parts of a recipe's loss, in order."""
    heads = [] if recipe.heads.listen is None else [recipe.heads.listen.weight]
    return [recipe.next_track.weight, *(term.weight for term in recipe.terms), *heads]


def make_example(encoder: Encoder, recipe: Recipe, window: Window, generator: torch.Generator) -> Example:
    """Return the inputs and targets of a window: shifted (causal) or masked (cloze)."""
    max_len, config = recipe.data.max_len, recipe.encoder
    if encoder.masked:
        return cloze_example(window, config.mask_share, max_len, generator, config.position)
    share = config.unknown_share if isinstance(config, CausalConfig) else 0.0
    return causal_example(window, max_len, generator, config.position, share)


def draw_negatives(recipe: Recipe, window: Window, candidates: Tensor, generator: torch.Generator) -> kinds.Drawn:
    """Return the negatives of one batch: [M] shared, [B, M] per session, [0] where all tracks are negatives.

    `candidates`: sorted rows that may be drawn, int64 [C]. Of `mixed` these are the uniform ones: see `with_targets`.
    """
    return kinds.Drawn(DRAWS[type(recipe.next_track)](recipe.next_track, window, candidates, generator))


def with_targets(recipe: Recipe, drawn: kinds.Drawn, example: Example, generator: torch.Generator) -> kinds.Drawn:
    """Return `drawn` with what `mixed` draws from the batch's targets behind it; other kinds draw nothing more."""
    if not isinstance(recipe.next_track, kinds.Mixed):
        return drawn
    target = (example.target * example.targets).flatten()
    more = kinds.draw_targets(target, recipe.next_track.batch, generator)
    return replace(drawn, ids=torch.cat([drawn.ids, more]))


def loss_parts(
    encoder: Encoder, recipe: Recipe, window: Window, example: Example, negatives: kinds.Drawn, bf16: bool
) -> dict[str, tuple[float, Tensor]]:
    """Return `(weight, loss)` of each part by name.

    The encoder runs under bf16 autocast where asked; rows of the table and all losses are float32.
    """
    with torch.autocast(window.tracks.device.type, dtype=torch.bfloat16, enabled=bf16):
        states = encoder(example.batch)
    scene = Scene(encoder, window, example, states.float(), negatives)
    losses = [NEXT_TRACK_LOSS[type(recipe.next_track)](scene)]
    for i, term in enumerate(recipe.terms):
        losses.append(contrastive(scene, term, recipe.data.skip_at_least, example.drawn.get(i)))
    if recipe.heads.listen is not None:
        rows = encoder.rows(example.target * example.targets).flatten(0, 1)
        losses.append(listen_loss(encoder, scene.predicted, rows, recipe.data.skip_at_least))
    return dict(zip(part_names(recipe), zip(part_weights(recipe), losses, strict=True), strict=True))


def total(parts: Mapping[str, tuple[float, Tensor]]) -> Tensor:
    """Return the weighted mean of the parts, scalar."""
    return combine(parts)


def contrastive(scene: Scene, term: SkipContrastive, skip_at_least: int, drawn: Tensor | None = None) -> Tensor:
    """Return the skip-contrastive loss of a batch over the original tracks of its training windows, scalar.

    `drawn`: what the term drew, where it draws.
    """
    window, encoder = scene.window, scene.encoder
    skipped = skips.skipped(window.strength, skip_at_least) & window.valid
    listened = skips.listened(window.strength, skip_at_least) & window.valid
    hidden = scene.example.targets if term.prefix_context else None  # cloze: its windows are its inputs
    rows = encoder.rows(window.tracks)
    context = rows if term.context == "track" else _as_long(scene.states, window.tracks.shape[1])
    heard = Heard(window.tracks * window.valid, skipped, listened, hidden)
    random = Drawn()
    if drawn is not None:
        random = Drawn(keys=drawn) if drawn.is_floating_point() else Drawn(rows=encoder.rows(drawn))
    return varied_skip_loss(context, rows, heard, variant_of(term), random, term.temperature)


def _as_long(states: Tensor, length: int) -> Tensor:
    """Return `states` with zero states after the last: a causal input lacks the window's last track, which has no
    later one and so is no anchor."""
    return torch.nn.functional.pad(states, (0, 0, 0, length - states.shape[1]))


def _per_session(scene: Scene) -> Tensor:
    nowhere = torch.zeros((1, 1, 1), dtype=torch.bool, device=scene.states.device)  # none is the session's own track
    own = scene.encoder.rows(scene.example.target)
    return sampled_softmax_loss(
        scene.states, own, scene.encoder.rows(scene.negatives.ids), nowhere, scene.example.targets
    )


def _shared(scene: Scene) -> Tensor:
    """Only real targets are scored: the logits of padding are a third of all at MSSD's lengths."""
    example = scene.example
    target = example.target[example.targets][None]  # [1, T]
    states = scene.states[example.targets][None]
    ids, rows = scene.negatives.ids, scene.encoder.rows
    collisions = ids == target[:, :, None]
    real = torch.ones_like(target, dtype=torch.bool)
    known = scene.known
    if known is not None:
        known = known[0][example.targets][None], known[1][example.targets][None]
    return sampled_softmax_loss(states, rows(target), rows(ids), collisions, real, scene.negatives.correction, known)


def _full(scene: Scene) -> Tensor:
    example = scene.example
    weight = scene.encoder.table.weight
    return full_softmax_loss(scene.states, weight, example.target, example.targets, known=scene.known)


def _draw_per_session(config: kinds.PerSession, window: Window, rows: Tensor, generator: torch.Generator) -> Tensor:
    return kinds.draw_per_session(window, rows, config.negatives, generator)


def _draw_shared(
    config: kinds.Shared | kinds.Mixed, window: Window, rows: Tensor, generator: torch.Generator
) -> Tensor:
    return kinds.draw_shared(rows, kinds.num_shared(config)[0], generator)


def _draw_none(config: kinds.Full, window: Window, rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[:0]


DRAWS: Final[Mapping[type[Any], Callable[..., Tensor]]] = {
    kinds.PerSession: _draw_per_session,
    kinds.Shared: _draw_shared,
    kinds.Mixed: _draw_shared,
    kinds.Full: _draw_none,
}
"""The negatives of each kind of `[next_track]`, before the encoder runs: what a step touches is known first."""

NEXT_TRACK_LOSS: Final[Mapping[type[Any], Callable[[Scene], Tensor]]] = {
    kinds.PerSession: _per_session,
    kinds.Shared: _shared,
    kinds.Mixed: _shared,
    kinds.Full: _full,
}
"""The loss of each kind of `[next_track]`."""
