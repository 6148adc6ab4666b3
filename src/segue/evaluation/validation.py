"""The quick look of each epoch: HR@10 among sampled tracks."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from segue.batches.split import Split
from segue.encoders.encoder import Encoder
from segue.evaluation import metrics
from segue.evaluation.ranks import SampledRows, Targets, sample_rows, sampled_ranks
from segue.ranking.model import ModelScorer
from segue.recipes.configs import EvaluationConfig
from segue.store import Store

_LAST: Final[dict[str, tuple[Split, EvaluationConfig, Targets, SampledRows]]] = {}
"""The candidates of the split validated last: an epoch finds those of the epoch before."""


def validation_metrics(
    store: Store, split: Split, encoder: Encoder, config: EvaluationConfig, device: torch.device | str
) -> dict[str, float]:
    """Return 'hr@10' of the validation targets among sampled tracks; a split without targets gives {}."""
    if len(split.cases["validation"]) == 0:
        return {}
    last = _LAST.get("validation")
    if last is None or last[0] is not split or last[1] != config or last[2].candidates.device != torch.device(device):
        targets = Targets.of(store, split, "validation", encoder.max_len, device)
        last = (split, config, targets, sample_rows(targets, seed=config.seed, num=config.candidates))
        _LAST["validation"] = last
    ranks = sampled_ranks(last[2], ModelScorer(encoder, split.candidates), last[3])
    return {"hr@10": float(np.mean(metrics.hits(ranks, 10)))}
