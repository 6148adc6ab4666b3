"""The unit tests lie in folders that are named like the packages of the source."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE, UNIT = ROOT / "src" / "segue", ROOT / "tests" / "unit"


def test_each_folder_of_unit_tests_is_a_package() -> None:
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("test_*.py")}
    assert len(folders) > 10
    strangers = sorted(str(folder) for folder in folders if not (SOURCE / folder / "__init__.py").is_file())
    assert not strangers, f"tests/unit has folders that src/segue lacks: {strangers}"
