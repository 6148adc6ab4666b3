"""Evaluation: ranks of held-out tracks, metrics of ranks, intervals of metrics."""

from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.listen_predictions import head_predictions
from segue.evaluation.metric_rows import Table, assembled, scorer_rows
from segue.evaluation.next_day import DayEvaluation, DayLists, DayTable, day_evaluation, day_lists
from segue.evaluation.paired_contrast import Contrast, Question, contrast, contrasts, holm, t_estimate
from segue.evaluation.records import FORMS, PROTOCOLS, Evaluation, Kind, Protocol, Row
from segue.evaluation.saved import load_evaluation, save_evaluation
from segue.evaluation.settle_ranking import settle_ranking
from segue.evaluation.settling_ranks import keeping_neighbours
from segue.evaluation.targets import Targets
from segue.evaluation.validation import validating

__all__ = [
    "FORMS",
    "PROTOCOLS",
    "Bootstrap",
    "Contrast",
    "DayEvaluation",
    "DayLists",
    "DayTable",
    "Estimate",
    "Evaluation",
    "Kind",
    "Protocol",
    "Question",
    "Row",
    "Table",
    "Targets",
    "assembled",
    "contrast",
    "contrasts",
    "day_evaluation",
    "day_lists",
    "head_predictions",
    "holm",
    "keeping_neighbours",
    "load_evaluation",
    "make_scene",
    "save_evaluation",
    "scorer_rows",
    "settle_ranking",
    "t_estimate",
    "validating",
]
