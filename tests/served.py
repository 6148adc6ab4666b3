"""Small trained runs and their exports, for tests of what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue import api
from segue.checkpoint import load_run
from segue.config import dump_toml
from segue.export import ExportOptions, write_export
from small_recipes import small_recipe
from stores import tiny_store


def small_run(folder: Path, recipe: str = "segue", tracks: int = 60, **changes: Any) -> Path:
    """Return a run trained for two epochs on a store with everything, both under `folder`."""
    tiny_store(folder / "store", sessions=80, rich=True, tracks=tracks)
    given = {"training__epochs": 2, **changes}
    made = small_recipe(recipe, **given)
    path = folder / "recipe.toml"
    path.write_text(dump_toml(made.to_tables()), encoding="utf-8")
    api.train(folder / "store", folder / "run", recipe=str(path), device="cpu")
    return folder / "run"


def small_export(folder: Path, recipe: str = "segue", name: str = "", tracks: int = 60, **changes: Any) -> Path:
    """Return the export of such a run, under `folder` too."""
    run = load_run(small_run(folder, recipe, tracks, **changes))
    write_export(run, folder / "export", ExportOptions(name=name))
    return folder / "export"
