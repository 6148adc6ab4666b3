"""The README's tree names only what exists, and every package of the source."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(r"^(?P<indent>[ │]*)(?:[├└]── )?(?P<name>[A-Za-z0-9_.\-]+/?)(?:\s{2,}.*|\s*#.*|)$")


def _tree() -> list[str]:
    """Return the lines of the fenced block after the heading 'The house'."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    house = text.split("## The house", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```[a-z]*\n(.*?)```", house, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_every_name_in_the_tree_exists() -> None:
    known = {
        path.name for part in ("src", "tests", "docs", "studies", "benchmarks", "records") for path in _below(part)
    }
    known |= {path.name for path in ROOT.iterdir()}
    for line in _tree():
        name = re.sub(r"[│├└─\s]+", "", line.split("#")[0].split("  ")[0] if line[:1].isalnum() else _name(line))
        assert name.rstrip("/") in known, f"the README's tree names {name!r}, which does not exist"


def test_every_package_stands_in_the_tree() -> None:
    text = "\n".join(_tree())
    packages = {path.parent.name for path in (ROOT / "src" / "segue").glob("*/__init__.py")}
    missing = {name for name in packages if name not in text}
    assert not missing, f"the README's tree lacks {sorted(missing)}"


def _below(part: str) -> list[Path]:
    return (
        [path for path in (ROOT / part).rglob("*") if "__pycache__" not in path.parts] if (ROOT / part).is_dir() else []
    )


def _name(line: str) -> str:
    """Return the first word of a tree line."""
    return line.replace("│", " ").replace("├", " ").replace("└", " ").replace("─", " ").split()[0]
