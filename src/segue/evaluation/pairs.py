"""Pairs of held-out tracks of one session, one listened and one skipped, after their common context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segue.batches.split import Cases, Split
from segue.evaluation.metrics import pair_auc
from segue.evaluation.ranks import SAMPLED_BLOCK, Targets
from segue.events import skips
from segue.ranking.scorer import Scorer
from segue.store import Store


def pair_aucs(
    store: Store, split: Split, scorers: Sequence[Scorer], max_len: int, device: torch.device | str
) -> dict[str, float | None]:
    """Return the pair AUC of each scorer's score; {} where sessions have no two held-out tracks (temporal split).

    The context is everything before both; pairs with a track that may not be ranked are left out.
    """
    first, last = split.cases["validation"], split.cases["test"]
    if not np.array_equal(first.session, last.session):
        return {}
    targets = Targets.of(store, split, "validation", max_len, device)
    tracks, strength = np.asarray(store.tracks), np.asarray(store.strength)
    codes = np.stack([strength[first.target], strength[last.target]], 1)
    pair = np.stack([tracks[first.target], tracks[last.target]], 1).astype(np.int64)
    listened = skips.listened(codes)
    differ = (listened & skips.skipped(codes)[:, ::-1]).any(1) & np.isin(pair, split.candidates).all(1)
    chosen = np.flatnonzero(differ)
    found: dict[str, float | None] = {}
    for scorer in scorers:
        scores = _scores(targets, first, scorer, chosen, pair)
        earlier = listened[chosen, 0]
        found[scorer.name] = pair_auc(
            np.where(earlier, scores[:, 0], scores[:, 1]), np.where(earlier, scores[:, 1], scores[:, 0]), earlier
        )
    return found


def _scores(targets: Targets, cases: Cases, scorer: Scorer, chosen: np.ndarray, pair: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Return the scores of both tracks of the chosen sessions, [P, 2]."""
    scores = np.zeros((len(chosen), 2))
    for start in range(0, len(chosen), SAMPLED_BLOCK):
        index = chosen[start : start + SAMPLED_BLOCK]
        batch = targets.data.context_batch(cases, index, targets.max_len)
        rows = torch.as_tensor(pair[index], device=targets.candidates.device)
        scores[start : start + SAMPLED_BLOCK] = scorer.score(batch, rows).cpu().numpy()
    return scores
