"""The kernels equal the plain functions where no GPU is: Triton's interpreter runs their tests on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed: the GPU kernels were not tested here")
HERE = Path(__file__).parent
OPTIONS = ("-q", "-p", "no:xdist", "--jaxtyping-packages=", "--tb=short")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels are tested on the GPU")
@pytest.mark.parametrize("name", ["test_kernels_naive.py", "test_ranking_kernels.py"])
def test_the_kernels_pass_their_tests_interpreted(name: str) -> None:
    """In a process of its own: Triton asks whether to interpret when it is imported, and torch may import it before."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *OPTIONS, str(HERE / name)]
    done = subprocess.run(
        command, env=environment | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
