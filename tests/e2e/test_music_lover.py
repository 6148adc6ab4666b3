"""A music lover's export becomes a service that speaks of titles and artists."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from segue.config import dump_toml
from segue.verbs.prepare import prepare
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe


def _tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "music_lover.py"
    spec = importlib.util.spec_from_file_location("music_lover", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_export_becomes_a_service_with_titles(tmp_path: Path) -> None:
    tool = _tool()
    export = tool.write_export(tmp_path, 150, 200)
    report = prepare(export, tmp_path / "my-music")
    assert report.recognised == "11 of 12 columns of Spotify's extended history"
    assert (report.rejected, report.left_out) == ({}, {})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(dump_toml(small_recipe("segue", training__epochs=1).to_tables()), encoding="utf-8")
    train(tmp_path / "my-music", tmp_path / "my-taste", TrainOptions(recipe=str(recipe), device="cpu"))
    with tool.served(tmp_path / "my-taste") as address:
        tracks = tool.asked(address, [{"track": f"spotify:track:{0:022d}", "heard": "skip"}])
    assert len(tracks) == 5
    assert all(each["title"].endswith("(simulated)") for each in tracks)
    assert all(each["artist"].endswith("(simulated)") for each in tracks)
