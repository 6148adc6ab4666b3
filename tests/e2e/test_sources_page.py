"""The page of sources is what the sources say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_made_from_the_sources() -> None:
    made = subprocess.run(
        [sys.executable, "tools/sources_page.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "sources.md").read_text(encoding="utf-8") == made.stdout, (
        "python tools/sources_page.py > docs/sources.md"
    )
