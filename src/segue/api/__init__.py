"""The public verbs, imported when first used: Polars only for preparing and inspecting, torch only for models."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from segue.api.demo import demo
    from segue.api.evaluate import evaluate
    from segue.api.export import export
    from segue.api.extend import extend
    from segue.api.inspect import inspect
    from segue.api.load import Recommender, load
    from segue.api.prepare import prepare_mssd, prepare_ratings, prepare_table
    from segue.api.replay import replay
    from segue.api.serve import serve
    from segue.api.served_log import export_log
    from segue.api.simulate import simulate
    from segue.api.study import report, study
    from segue.api.train import train
    from segue.api.tune import tune

_HOMES: Final = {
    "Recommender": "segue.api.load",
    "demo": "segue.api.demo",
    "evaluate": "segue.api.evaluate",
    "export": "segue.api.export",
    "extend": "segue.api.extend",
    "inspect": "segue.api.inspect",
    "load": "segue.api.load",
    "prepare_mssd": "segue.api.prepare",
    "prepare_ratings": "segue.api.prepare",
    "prepare_table": "segue.api.prepare",
    "report": "segue.api.study",
    "replay": "segue.api.replay",
    "serve": "segue.api.serve",
    "export_log": "segue.api.served_log",
    "simulate": "segue.api.simulate",
    "study": "segue.api.study",
    "train": "segue.api.train",
    "tune": "segue.api.tune",
}

__all__ = [
    "Recommender",
    "demo",
    "evaluate",
    "export",
    "export_log",
    "extend",
    "inspect",
    "load",
    "prepare_mssd",
    "prepare_ratings",
    "prepare_table",
    "replay",
    "report",
    "serve",
    "simulate",
    "study",
    "train",
    "tune",
]


class _Verbs(ModuleType):
    """This package as a module: a name is the verb, also after the file of that name was imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)  # the import system binds the file to the name of its verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Verbs


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segue.api' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
