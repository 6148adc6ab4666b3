"""Ranking: the model and the baselines as scorers, shared by evaluation, export and serving."""

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
