"""An encoder's track features in training."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.batches.features import track_features
from segue.batches.split import Split
from segue.encoders.encoder import INIT_BOUND, Encoder
from segue.encoders.features import TrackFeatures
from segue.errors import InputError
from segue.recipes import Recipe
from segue.store import NUM_SPECIALS, Store


def attach_features(encoder: Encoder, recipe: Recipe, store: Store, split: Split, generator: torch.Generator) -> None:
    """Give the encoder the features of the store's tracks, where its recipe reads them.

    Raises:
        InputError: the store has none, and they are not optional.
    """
    if recipe.features is None:
        return
    values = track_features(store)
    if values is None and recipe.features.optional:
        return
    if values is None:
        raise InputError(
            f"{store.path} has no features of tracks, which [features] reads; prepare it with --tracks FILE, or leave "
            "[features] out"
        )
    trained = torch.from_numpy(split.training_counts > 0)
    trained[:NUM_SPECIALS] = True
    features = TrackFeatures(recipe.features, encoder.width, torch.from_numpy(values), trained)
    torch.nn.init.trunc_normal_(features.project.weight, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
    encoder.features = features


def draw_key(generator: torch.Generator) -> Tensor:
    """Return the key of one step: which rows it leaves out, int64 [1]."""
    return torch.randint(2**31, (1,), generator=generator, device=generator.device)
