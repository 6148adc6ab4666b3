"""The public names are imported when first used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import segue

SRC = Path(__file__).parents[2] / "src"


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_segue_imports_neither_torch_nor_polars():
    code = "import segue, segue.verbs, sys; print([m for m in ('torch', 'polars', 'cyclopts') if m in sys.modules])"
    assert python(code) == "[]"


def test_every_public_name_exists_and_an_unknown_one_does_not():
    assert all(getattr(segue, name) is not None for name in segue.__all__)
    with pytest.raises(AttributeError, match="recomend"):
        _ = segue.recomend
