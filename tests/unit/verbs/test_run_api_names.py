"""The public verbs are imported when first used, and are verbs however their files were imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src"


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_segue_imports_neither_torch_nor_polars():
    code = "import segue, segue.api, sys; print([m for m in ('torch', 'polars', 'cyclopts') if m in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.parametrize(
    "first", ["import segue.api.train", "from segue.api import train", "import segue; segue.train"]
)
def test_a_verb_is_a_function_however_its_file_was_imported(first):
    assert (
        python(f"{first}\nfrom segue.api import train\nimport segue\nprint(callable(train), train is segue.train)")
        == "True True"
    )


def test_every_public_verb_exists_and_an_unknown_one_does_not():
    import segue
    from segue import api

    assert all(callable(getattr(api, name)) for name in api.__all__)
    assert all(getattr(segue, name) is not None for name in segue.__all__)
    with pytest.raises(AttributeError, match="recomend"):
        _ = api.recomend
