"""The pinned environment of each peer, under .peers/ of the checkout: built once, and again when its pins change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TORCH: Final = "torch==2.13.0"
_BUILT: Final = ".built"
"""File in an environment that holds the pins it was built from."""


def python_of(name: str | None) -> Path:
    """Return the Python of peer `name`'s environment, which is built where missing; None is this Python.

    torch comes first and alone, as a CPU build where one is at hand; the pins follow with --no-deps, so that nothing
    brings another torch, or CUDA packages of several GB.
    """
    if name is None:
        return Path(sys.executable)
    pins = (Path(__file__).parent / f"{name}.txt").read_text()
    folder = ROOT / ".peers" / name
    python, built = folder / "bin" / "python", folder / _BUILT
    if not built.is_file() or built.read_text() != pins:
        _build(name, folder)
        built.write_text(pins)
    return python


def _build(name: str, folder: Path) -> None:
    print(f"building the environment of {name} in {folder.relative_to(ROOT)}", file=sys.stderr)
    if folder.exists():
        shutil.rmtree(folder)
    python = str(folder / "bin" / "python")
    requirements = str(Path(__file__).parent / f"{name}.txt")
    install = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", requirements)
    _run(sys.executable, "-m", "venv", str(folder))
    _run("sh", str(ROOT / "tools" / "install_torch.sh"), python, TORCH)
    _run(*install)


def _run(*command: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
