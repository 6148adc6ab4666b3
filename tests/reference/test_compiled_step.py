"""What a GPU compiles of a training step is traced whole: each graph break costs seconds before the first step.

The compiler traces on any machine; here it compiles nothing and runs what it traced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from segue.batches.split import split_store
from segue.model.heads import repeats
from segue.objectives import log_sum
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store


@torch.compiler.disable
def _in_place_of_the_kernel(states: Any, rows: Any, target: Any, *_: Any) -> tuple[Any, Any]:
    return states.sum(1), (states @ rows.T).logsumexp(1)


_asked = log_sum.in_tiles


def _ask_and_use_the_kernel(states: Any) -> bool:
    return _asked(states) or True


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False, backend="eager")


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.parametrize("kind", ["full", "mixed"])
def test_the_kernel_alone_breaks_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    kernels = ModuleType("segue.objectives.triton_log_sum")
    kernels.kernel_log_sum = _in_place_of_the_kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kernels.__name__, kernels)
    monkeypatch.setattr(log_sum, "in_tiles", _ask_and_use_the_kernel)
    monkeypatch.setattr(repeats, "sums_of_matches", repeats.sums_of_cells)  # what a GPU takes
    store = tiny_store(tmp_path / "store", tracks=50, rich=True)
    recipe = small_recipe("segue", next_track__kind=kind, encoder__dropout=0.0)
    trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    step = trainer._step
    step.make_example = _traced(step.make_example)  # type: ignore[method-assign]
    step.compare = _traced(step.compare)  # type: ignore[method-assign]
    torch._dynamo.reset()
    counters.clear()
    order = trainer.begin(torch.arange(8), 1)
    trainer.step(order)
    breaks = [one for one in counters["graph_break"] if "RLock" not in one]  # cached_property of Python 3.11
    assert breaks, "the kernel is not traced"
    assert all("_in_place_of_the_kernel" in one for one in breaks), breaks
