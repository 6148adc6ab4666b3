"""Text files of an export."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write a text of lines, each with its end; return the file."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
