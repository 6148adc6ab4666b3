"""Ranking: the model and the baselines as scorers, shared by evaluation, export and serving.

Names are imported when first used, so that the indexes can be imported without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue.ranking.baselines import BASELINE_NAMES, Baseline, fit_baselines
    from segue.ranking.content import content_baselines
    from segue.ranking.model_scorer import ModelScorer, head_scorers, model_scorers
    from segue.ranking.scorer import Scorer, top_k
    from segue.ranking.standing import Ranking, Standing

__all__ = [
    "BASELINE_NAMES",
    "Baseline",
    "ModelScorer",
    "Ranking",
    "Scorer",
    "Standing",
    "content_baselines",
    "fit_baselines",
    "head_scorers",
    "model_scorers",
    "top_k",
]

_HOMES = {
    "BASELINE_NAMES": "baselines",
    "Baseline": "baselines",
    "ModelScorer": "model_scorer",
    "Ranking": "standing",
    "Scorer": "scorer",
    "Standing": "standing",
    "content_baselines": "content",
    "fit_baselines": "baselines",
    "head_scorers": "model_scorer",
    "model_scorers": "model_scorer",
    "top_k": "scorer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segue.ranking' has no attribute {name!r}")
    return getattr(import_module(f"segue.ranking.{_HOMES[name]}"), name)
