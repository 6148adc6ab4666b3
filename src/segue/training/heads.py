"""An encoder's heads in training: made of the training rows, and what their losses and masses are."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from segue import skips
from segue.batches.counts import training_counts
from segue.batches.split import Split
from segue.encoders.encoder import Encoder
from segue.heads import Counts, ListenHead, TransitionsConfig, TransitionsHead, build_heads
from segue.heads.listen import Heard
from segue.recipes import Recipe
from segue.store import Store

LISTEN_PART = "listen"


def attach_heads(encoder: Encoder, recipe: Recipe, store: Store, split: Split, generator: torch.Generator) -> None:
    """Give the encoder the heads of its recipe, counted over the training parts of `split`."""
    if recipe.heads.listen is None and recipe.heads.transitions is None:
        return
    counted = training_counts(store, split, recipe.data.skip_at_least)
    counts = Counts(*map(torch.from_numpy, astuple(counted)))
    made = build_heads(recipe.heads, encoder.width, store.num_tracks, counts, generator)
    encoder.heads.update(made)


@dataclass(frozen=True)
class Predicted:
    """N positions and what they should predict, whichever way they lie."""

    states: Tensor
    """y_hat, float32 [N, D]."""
    last: Tensor
    """Original table row of the track at each position, [N]."""
    target: Tensor
    """Table row of the track to predict, [N]; 0 = none."""
    feedback: Tensor
    """How it was heard: feedback codes, [N]."""


def known_masses(encoder: Encoder, predicted: Predicted, config: TransitionsConfig) -> tuple[Tensor, Tensor]:
    """Return what transitions add to the softmax of each position, to the target and in all."""
    head = encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead), "see build_heads"
    states = predicted.states if config.gradient == "flow" else predicted.states.detach()
    mass = head.mass(states, predicted.last, predicted.target)
    return mass.target, mass.whole


def listen_loss(encoder: Encoder, predicted: Predicted, rows: Tensor, skip_at_least: int) -> Tensor:
    """Return the loss of P(listen) of the targets, whose table rows are `rows` [N, D], scalar."""
    head = encoder.heads["listen"]
    assert isinstance(head, ListenHead), "see build_heads"
    heard = Heard(skips.listened(predicted.feedback, skip_at_least), skips.skipped(predicted.feedback, skip_at_least))
    loss: Tensor = head.loss(predicted.states, rows, predicted.target, heard)
    return loss
