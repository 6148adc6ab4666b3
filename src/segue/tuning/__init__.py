"""Tuning: a recipe and a store in, the recipe with the best validation HR@10 out; no test target is read."""

from segue.tuning.folder import JOURNAL, MARKER, TuneFolder
from segue.tuning.plan import Plan
from segue.tuning.runner import Train
from segue.tuning.search import GridSearch, Search
from segue.tuning.space import GRIDS, Dimension, paper_grid, search_space, tuned
from segue.tuning.trial import Task, Trial, best_of
from segue.tuning.tune import tune
from segue.tuning.workers import Places

__all__ = [
    "GRIDS",
    "JOURNAL",
    "MARKER",
    "Dimension",
    "GridSearch",
    "Places",
    "Plan",
    "Search",
    "Task",
    "Train",
    "Trial",
    "TuneFolder",
    "best_of",
    "paper_grid",
    "search_space",
    "tune",
    "tuned",
]
