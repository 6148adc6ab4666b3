"""What must work without Polars, cyclopts and msgspec, and what must not import torch or anything of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'{{name}} is blocked')
sys.meta_path.insert(0, Blocked())
"""


def _run(code: str, *blocked: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    program = BLOCK.format(blocked=blocked) + code
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("modules", "blocked"),
    [
        ("segue.training, segue.evaluation, segue.simulation", ("polars", "cyclopts", "msgspec", "optuna")),
        (
            "segue.studies.trials.worker, segue.studies.tuning_search",
            ("polars", "cyclopts", "msgspec", "optuna", "matplotlib"),
        ),
        ("segue.verbs.train, segue.verbs.study, segue.verbs.tune", ("polars", "msgspec", "optuna", "matplotlib")),
        ("segue.model.encoders, segue.batches, segue.ranking, segue.runs", ("polars", "cyclopts", "msgspec")),
        ("segue.data, segue.data.assembly, segue.data.store_summary, segue.store, segue.simulation", ("torch",)),
        ("segue.objectives", ("numpy", "polars", "jaxtyping")),
        ("segue, segue.cli.main", ("torch", "polars", "msgspec", "matplotlib", "optuna")),
    ],
)
def test_imports_without(modules: str, blocked: tuple[str, ...]) -> None:
    done = _run(f"import {modules}", *blocked)
    assert done.returncode == 0, done.stderr


def test_the_block_blocks() -> None:
    assert "polars is blocked" in _run("import polars", "polars").stderr
