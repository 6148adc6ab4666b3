"""Held-out ranks, metrics and intervals (method, section 5)."""

from segue.evaluation.evaluate import Evaluation, evaluate_scorers
from segue.evaluation.validation import validation_metrics

__all__ = ["Evaluation", "evaluate_scorers", "validation_metrics"]
