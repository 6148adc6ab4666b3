"""Segue: next-track recommendation that learns from skips.

The public names are imported when first used, so `import segue` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue import objectives
    from segue.api import evaluate, load, prepare_table, train
    from segue.store import Store

__version__ = "0.1.0"
__all__ = ["Store", "evaluate", "load", "objectives", "prepare_table", "train"]

_HOMES = {
    "Store": "segue.store",
    "evaluate": "segue.api",
    "load": "segue.api",
    "prepare_table": "segue.api",
    "train": "segue.api",
}


def __getattr__(name: str) -> Any:
    if name == "objectives":
        return import_module("segue.objectives")
    if name not in _HOMES:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
