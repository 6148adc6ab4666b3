"""An encoder's context inputs in training."""

from __future__ import annotations

import torch

from segue.batches.context import SIZES
from segue.encoders.context import ContextInputs
from segue.encoders.encoder import INIT_BOUND, Encoder
from segue.encoders.transformer import TransformerEncoder
from segue.recipes import Recipe


def attach_context(encoder: Encoder, recipe: Recipe, generator: torch.Generator) -> None:
    """Give the encoder the inputs that its recipe's `data.context` names."""
    if not recipe.data.context:
        return
    assert isinstance(encoder, TransformerEncoder), "the recipe says so"
    made = ContextInputs(recipe.data.context, [SIZES[name] for name in recipe.data.context], encoder.width)
    for parameter in made.parameters():
        torch.nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
    encoder.read(made)
