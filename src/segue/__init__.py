"""Segue: next-track recommendation that learns from skips.

The public names are imported when first used, so `import segue` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue import objectives
    from segue.data.cutting import Cutting
    from segue.data.sources.table_columns import TableColumns
    from segue.store import Store
    from segue.verbs.evaluate import EvaluateOptions, evaluate
    from segue.verbs.prepare import PrepareOptions, prepare
    from segue.verbs.recommender import load
    from segue.verbs.train import TrainOptions, train

__version__ = "0.1.0"
__all__ = [
    "Cutting",
    "EvaluateOptions",
    "PrepareOptions",
    "Store",
    "TableColumns",
    "TrainOptions",
    "evaluate",
    "load",
    "objectives",
    "prepare",
    "train",
]

_HOMES = {
    "Cutting": "segue.data.cutting",
    "EvaluateOptions": "segue.verbs.evaluate",
    "PrepareOptions": "segue.verbs.prepare",
    "Store": "segue.store",
    "TableColumns": "segue.data.sources.table_columns",
    "TrainOptions": "segue.verbs.train",
    "evaluate": "segue.verbs.evaluate",
    "load": "segue.verbs.recommender",
    "prepare": "segue.verbs.prepare",
    "train": "segue.verbs.train",
}


def __getattr__(name: str) -> Any:
    if name == "objectives":
        return import_module("segue.objectives")
    if name not in _HOMES:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
