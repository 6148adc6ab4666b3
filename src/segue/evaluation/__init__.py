"""Evaluation: ranks of held-out tracks, metrics of ranks, intervals of metrics."""

from segue.evaluation.bootstrap import Estimate
from segue.evaluation.contrast import Contrast, contrast, t_estimate
from segue.evaluation.evaluate import evaluate_scorers
from segue.evaluation.records import PROTOCOLS, Evaluation, Protocol, Row
from segue.evaluation.scene import make_scene
from segue.evaluation.validation import Validation, validating

__all__ = [
    "PROTOCOLS",
    "Contrast",
    "Estimate",
    "Evaluation",
    "Protocol",
    "Row",
    "Validation",
    "contrast",
    "evaluate_scorers",
    "make_scene",
    "t_estimate",
    "validating",
]
