"""The next-track loss of a padded batch: every kind of `[next_track]`, and what becomes of skipped targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from segue import skips
from segue.batches import negatives as draws
from segue.batches.data import Window
from segue.batches.example import Example
from segue.batches.negatives import Drawn
from segue.batches.next_track import Full, Mixed, PerSession, Shared, num_shared
from segue.encoders.encoder import Encoder
from segue.objectives.next_track import (
    avoided_losses,
    compared,
    compared_with_all,
    gbce_beta,
    gbce_losses,
    mean_over,
    softmax_losses,
)
from segue.objectives.roles import negatives_of
from segue.recipes import Recipe
from segue.training.heads import Predicted, known_masses
from segue.training.targets import ruled


@dataclass(frozen=True)
class Scene:
    """What the losses need to know of a batch."""

    encoder: Encoder
    recipe: Recipe
    window: Window
    example: Example
    """Every next track a target."""
    states: Tensor
    """[B, L, D] float32."""
    negatives: Drawn
    """What `DRAWS` drew for it."""

    @cached_property
    def aimed(self) -> Example:
        """The example with the targets that the recipe predicts."""
        return ruled(self.example, self.window, self.recipe.next_track.targets, self.recipe.data.skip_at_least)

    def predicted(self, example: Example) -> Predicted:
        """Return every position of the batch, padding included."""
        last = self.window.tracks[:, : example.target.shape[1]]
        target = example.target * example.targets
        states = self.states.flatten(0, 1)
        return Predicted(states, last.flatten(), target.flatten(), example.target_feedback.flatten())

    def softmax(self, own: Tensor, others: Tensor) -> Tensor:
        """Return the softmax losses of the T targets, [T], with what transitions add to it."""
        config, real = self.recipe.heads.transitions, self.aimed.targets.flatten()
        if config is None:
            return softmax_losses(own, others)
        of_target, of_all = known_masses(self.encoder, self.predicted(self.aimed), config)
        flow = config.gradient == "flow"
        return softmax_losses(own, others, (of_target[real], of_all[real]), flow=flow, alone=config.own)

    @property
    def skipped(self) -> Tensor:
        """Which of the T targets were skipped, bool [T]."""
        found: Tensor = skips.skipped(self.aimed.target_feedback, self.recipe.data.skip_at_least)[self.aimed.targets]
        return found


def draw_negatives(recipe: Recipe, window: Window, candidates: Tensor, generator: torch.Generator) -> Drawn:
    """Return the negatives of one batch: [M] shared, [B, M] per session, [0] where all tracks are negatives.

    `candidates`: sorted rows that may be drawn, int64 [C]. Of `mixed` these are the uniform ones: see `with_targets`.
    """
    return Drawn(DRAWS[type(recipe.next_track)](recipe.next_track, window, candidates, generator))


def with_targets(recipe: Recipe, drawn: Drawn, example: Example, window: Window, generator: torch.Generator) -> Drawn:
    """Return `drawn` with what `mixed` draws from the batch's targets behind it; other kinds draw nothing more."""
    if not isinstance(recipe.next_track, Mixed):
        return drawn
    aimed = ruled(example, window, recipe.next_track.targets, recipe.data.skip_at_least)
    target = (aimed.target * aimed.targets).flatten()
    more = draws.draw_targets(target, recipe.next_track.batch, generator)
    return replace(drawn, ids=torch.cat([drawn.ids, more]))


def next_track_loss(scene: Scene) -> Tensor:
    """Return the mean loss over the targets of a batch, scalar; 0 without any."""
    config = scene.recipe.next_track
    own, scores = COMPARED[type(config)](scene)
    if config.own_skips:
        scores = torch.cat([scores, _own_skips(scene)], dim=1)
    weights = torch.ones_like(own)
    if config.skipped_weight != 1.0:
        weights = torch.where(scene.skipped, config.skipped_weight, weights)
    if isinstance(config, Shared) and config.loss == "gbce":
        beta = gbce_beta(config.negatives, scene.encoder.num_tracks, config.gbce_t)
        return mean_over(gbce_losses(own, scores, beta), weights)
    others = torch.logsumexp(scores, dim=1)
    losses = scene.softmax(own, others)
    if config.skipped == "avoid":
        losses = torch.where(scene.skipped, avoided_losses(own, others), losses)
    return mean_over(losses, weights)


def _per_session(scene: Scene) -> tuple[Tensor, Tensor]:
    nowhere = torch.zeros((1, 1, 1), dtype=torch.bool, device=scene.states.device)  # none is the session's own track
    rows, aimed = scene.encoder.rows, scene.aimed
    own, scores = compared(scene.states, rows(aimed.target), rows(scene.negatives.ids), nowhere)
    return own[aimed.targets], scores[aimed.targets]


def _shared(scene: Scene) -> tuple[Tensor, Tensor]:
    """Only real targets are scored: the logits of padding are a third of all at MSSD's lengths."""
    aimed, ids, rows = scene.aimed, scene.negatives.ids, scene.encoder.rows
    target = aimed.target[aimed.targets][None]  # [1, T]
    states = scene.states[aimed.targets][None]
    collisions = ids == target[:, :, None]
    own, scores = compared(states, rows(target), rows(ids), collisions, scene.negatives.correction)
    return own[0], scores[0]


def _full(scene: Scene) -> tuple[Tensor, Tensor]:
    aimed, weight = scene.aimed, scene.encoder.table.weight
    if scene.encoder.features is not None:
        weight = scene.encoder.rows(torch.arange(len(weight), device=weight.device))
    return compared_with_all(scene.states[aimed.targets], weight, aimed.target[aimed.targets])


def _own_skips(scene: Scene) -> Tensor:
    """Return the scores of the session's skipped tracks that were never listened to there, for each target, [T, W]."""
    window, aimed, at_least = scene.window, scene.aimed, scene.recipe.data.skip_at_least
    skipped = skips.skipped(window.strength, at_least) & window.valid
    listened = skips.listened(window.strength, at_least) & window.valid
    chosen = negatives_of(window.tracks, skipped, listened)[:, None, :]
    left_out = ~chosen | (window.tracks[:, None, :] == aimed.target[:, :, None])
    _, scores = compared(scene.states, scene.encoder.rows(aimed.target), scene.encoder.rows(window.tracks), left_out)
    return scores[aimed.targets]


def _draw_per_session(config: PerSession, window: Window, rows: Tensor, generator: torch.Generator) -> Tensor:
    return draws.draw_per_session(window, rows, config.negatives, generator)


def _draw_shared(config: Shared | Mixed, window: Window, rows: Tensor, generator: torch.Generator) -> Tensor:
    return draws.draw_shared(rows, num_shared(config)[0], generator)


def _draw_none(config: Full, window: Window, rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[:0]


DRAWS: Final[Mapping[type[Any], Callable[..., Tensor]]] = {
    PerSession: _draw_per_session,
    Shared: _draw_shared,
    Mixed: _draw_shared,
    Full: _draw_none,
}
"""The negatives of each kind of `[next_track]`, before the encoder runs: what a step touches is known first."""

COMPARED: Final[Mapping[type[Any], Callable[[Scene], tuple[Tensor, Tensor]]]] = {
    PerSession: _per_session,
    Shared: _shared,
    Mixed: _shared,
    Full: _full,
}
"""The scores of the T targets and of what each is compared with, [T] and [T, M], of each kind of `[next_track]`."""
