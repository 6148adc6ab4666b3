"""Evaluation: ranks of held-out tracks, metrics of ranks, intervals of metrics."""

from segue.evaluation.answers import Answers, metric_names, metric_ratio
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.contrast import Contrast, Question, contrast, contrasts, holm, t_estimate, t_p_value
from segue.evaluation.evaluate import assembled, evaluate_scorers, scorer_rows
from segue.evaluation.listening import head_predictions
from segue.evaluation.records import PROTOCOLS, Evaluation, Kind, Protocol, Row, beaten_by, clears_bar
from segue.evaluation.saved import load_evaluation, save_evaluation
from segue.evaluation.scene import make_scene
from segue.evaluation.settle_ranking import settle_ranking
from segue.evaluation.table import Table
from segue.evaluation.targets import Targets
from segue.evaluation.validation import Validation, validating

__all__ = [
    "PROTOCOLS",
    "Answers",
    "Bootstrap",
    "Contrast",
    "Estimate",
    "Evaluation",
    "Kind",
    "Protocol",
    "Question",
    "Row",
    "Table",
    "Targets",
    "Validation",
    "assembled",
    "beaten_by",
    "clears_bar",
    "contrast",
    "contrasts",
    "evaluate_scorers",
    "head_predictions",
    "holm",
    "load_evaluation",
    "make_scene",
    "metric_names",
    "metric_ratio",
    "save_evaluation",
    "scorer_rows",
    "settle_ranking",
    "t_estimate",
    "t_p_value",
    "validating",
]
