"""The loss of one batch: next_track and the recipe's terms, each a named part (method, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from segue import skips
from segue.batches import negatives as kinds
from segue.batches.causal import causal_example
from segue.batches.cloze import cloze_example
from segue.batches.data import Window
from segue.batches.example import Example
from segue.encoders.causal import CausalConfig
from segue.encoders.encoder import Encoder
from segue.objectives import combine
from segue.objectives.roles import Heard
from segue.objectives.variants import Drawn, varied_skip_loss
from segue.recipes import Recipe, SkipContrastive
from segue.training.heads import LISTEN_PART, listen_loss
from segue.training.next_track import Scene, next_track_loss
from segue.training.terms import variant_of

NEXT_TRACK_PART: Final = "next_track"


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
    return causal_example(window, max_len, generator, config.position, share, recipe.data.context)


def loss_parts(
    encoder: Encoder, recipe: Recipe, window: Window, example: Example, negatives: kinds.Drawn, bf16: bool
) -> dict[str, tuple[float, Tensor]]:
    """Return `(weight, loss)` of each part by name.

    The encoder runs under bf16 autocast where asked; rows of the table and all losses are float32.
    """
    with torch.autocast(window.tracks.device.type, dtype=torch.bfloat16, enabled=bf16):
        states = encoder(example.batch)
    scene = Scene(encoder, recipe, window, example, states.float(), negatives)
    losses = [next_track_loss(scene)]
    for i, term in enumerate(recipe.terms):
        losses.append(contrastive(scene, term, recipe.data.skip_at_least, example.drawn.get(i)))
    if recipe.heads.listen is not None:
        rows = encoder.rows(example.target * example.targets).flatten(0, 1)
        losses.append(listen_loss(encoder, scene.predicted(example), rows, recipe.data.skip_at_least))
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
    rows = encoder.rows(window.tracks)
    context = rows if term.context == "track" else _as_long(scene.states, window.tracks.shape[1])
    heard = Heard(window.tracks * window.valid, skipped, listened)
    random = Drawn()
    if drawn is not None:
        random = Drawn(keys=drawn) if drawn.is_floating_point() else Drawn(rows=encoder.rows(drawn))
    return varied_skip_loss(context, rows, heard, variant_of(term), random, term.temperature)


def _as_long(states: Tensor, length: int) -> Tensor:
    """Return `states` with zero states after the last: a causal input lacks the window's last track, which has no
    later one and so is no anchor."""
    return torch.nn.functional.pad(states, (0, 0, 0, length - states.shape[1]))
