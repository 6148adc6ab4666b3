"""The logQ correction of a recipe's negatives on a split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segue.batches.log_q import causal_target_counts, cloze_target_counts, expected_draws, log_q
from segue.batches.negatives import Mixed, Shared, num_shared
from segue.batches.split import Split
from segue.encoders.encoder import Encoder
from segue.recipes import Recipe
from segue.store import Store


def corrections(encoder: Encoder, recipe: Recipe, store: Store, split: Split) -> Tensor | None:
    """Return what is added to the score of a negative, by table row, float32 [V + 3]; None where nothing is.

    It lies where the encoder does. A function of the split alone: only what is a target in training is counted.
    """
    config = recipe.next_track
    if not isinstance(config, Shared | Mixed) or not config.log_q:
        return None
    tracks, max_len = np.asarray(store.tracks), recipe.data.max_len
    if encoder.masked:
        counts = cloze_target_counts(tracks, split, max_len, recipe.encoder.mask_share)
    else:
        counts = causal_target_counts(tracks, split, max_len)
    expected = expected_draws(num_shared(config), len(split.candidates), counts)
    return torch.from_numpy(log_q(expected)).to(encoder.table.weight.device)
