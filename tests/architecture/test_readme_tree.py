"""The README's tree names only what exists, and every package of the source."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("src", "tests", "docs", "studies", "benchmarks", "records", "tools")


def _tree() -> list[str]:
    """Return the lines of the fenced blocks under the heading 'The house'."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    house = text.split("## The house", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```[a-z]*\n(.*?)```", house, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _names(line: str) -> list[str]:
    """Return the names at the head of a tree line: 'encoders/ objectives/   what they are' holds two."""
    head = re.split(r"\s{2,}|#", re.sub(r"^[│├└─\s|+`-]+", "", line))[0]
    return [name.rstrip("/").rsplit("/", 1)[-1] for name in re.split(r"[\s,|]+", head) if name]


def _below(part: str) -> set[str]:
    return {path.name for path in (ROOT / part).rglob("*") if "__pycache__" not in path.parts}


def test_every_name_in_the_tree_exists() -> None:
    known = set[str]().union(*map(_below, PARTS)) | {path.name for path in ROOT.iterdir()}
    known |= {Path(name).stem for name in known}
    unknown = [name for line in _tree() for name in _names(line) if name not in known]
    assert not unknown, f"the README's tree names what does not exist: {unknown}"


def test_every_package_stands_in_the_tree() -> None:
    named = {name for line in _tree() for name in _names(line)}
    packages = {path.parent.name for path in (ROOT / "src" / "segue").glob("*/__init__.py")}
    assert packages <= named, f"the README's tree lacks {sorted(packages - named)}"
