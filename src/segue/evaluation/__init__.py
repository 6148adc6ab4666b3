"""Evaluation: ranks of held-out tracks, metrics of ranks, intervals of metrics."""

from segue.evaluation.bootstrap import Estimate
from segue.evaluation.evaluate import (
    PROTOCOLS,
    Evaluation,
    Row,
    contrast,
    evaluate_scorers,
    make_scene,
    validation_metrics,
)

__all__ = [
    "PROTOCOLS",
    "Estimate",
    "Evaluation",
    "Row",
    "contrast",
    "evaluate_scorers",
    "make_scene",
    "validation_metrics",
]
