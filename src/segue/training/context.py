"""An encoder's inputs beside the session's tracks, in training."""

from __future__ import annotations

import torch

from segue.batches.context import SIZES
from segue.encoders.context import ContextInputs
from segue.encoders.earlier import EarlierInputs
from segue.encoders.encoder import INIT_BOUND, NUM_FEEDBACK, Encoder
from segue.encoders.transformer import TransformerEncoder
from segue.recipes import Recipe


def attach_earlier(encoder: Encoder, recipe: Recipe, generator: torch.Generator) -> None:
    """Let the encoder read earlier sessions, where its recipe says so."""
    if recipe.data.earlier == 0:
        return
    assert isinstance(encoder, TransformerEncoder), "the recipe says so"
    made = EarlierInputs(encoder.width, NUM_FEEDBACK)
    for parameter in made.parameters():
        torch.nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
    encoder.remember(made)


def attach_context(encoder: Encoder, recipe: Recipe, generator: torch.Generator) -> None:
    """Give the encoder the inputs that its recipe's `data.context` names."""
    if not recipe.data.context:
        return
    assert isinstance(encoder, TransformerEncoder), "the recipe says so"
    made = ContextInputs(recipe.data.context, [SIZES[name] for name in recipe.data.context], encoder.width)
    for parameter in made.parameters():
        torch.nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
    encoder.read(made)
