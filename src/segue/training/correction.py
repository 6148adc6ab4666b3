"""The logQ correction of a recipe's negatives on a split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segue.batches.log_q import Rows, causal_target_counts, cloze_target_counts, expected_draws, log_q
from segue.batches.split import Split, visible_strength
from segue.model import Encoder
from segue.recipes import Recipe
from segue.store import Store


def corrections(encoder: Encoder, recipe: Recipe, store: Store, split: Split) -> Tensor | None:
    """Return what is added to the score of a negative, by table row, float32 [V + 3]; None where nothing is.

    It lies where the encoder does. A function of the split alone: only what is a target in training is counted.
    """
    config = recipe.next_track
    if not config.corrects:
        return None
    max_len = recipe.data.max_len
    rows = Rows(np.asarray(store.tracks), visible_strength(store, split), config.targets, split.skip_at_least)
    if encoder.masked:
        counts = cloze_target_counts(rows, split, max_len, recipe.encoder.mask_share)
    else:
        counts = causal_target_counts(rows, split, max_len)
    expected = expected_draws((config.num_uniform, config.num_from_targets), len(split.negatives), counts)
    return torch.from_numpy(log_q(expected)).to(encoder.table.weight.device)
