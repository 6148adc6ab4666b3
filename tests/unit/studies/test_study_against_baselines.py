"""An arm is held against a baseline as against another arm: every seed less the one that needs none."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue import api
from segue.studies.designs import DESIGNS
from small_recipes import SMALL
from stores import tiny_store

OVERRIDES = {name: value for name, value in SMALL.items() if name != "next_track.negatives"}


def test_every_arm_of_segue_is_a_recipe_and_differs_from_the_whole() -> None:
    design = DESIGNS["segue"]
    made = {arm.name: arm.resolved({}) for arm in design.arms}
    whole = made["segue"].to_tables()
    assert all(recipe.to_tables() != whole for name, recipe in made.items() if name != "segue")
    assert {recipe.data.vocabulary for recipe in made.values()} == {"transductive"}


def test_a_cut_keeps_what_is_compared_with_baselines() -> None:
    cut = DESIGNS["segue"].cut(["segue"], tuned=False)
    assert [pair.less for pair in cut.compared] == ["popularity", "markov", "v-sknn"]


def test_an_arm_less_a_baseline_is_the_difference_of_their_levels(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store", sessions=60)
    overrides = OVERRIDES | {
        "training.epochs": 2,
        "training.patience": 9,
        "next_track.uniform": 6,
    }  # segue alone has it
    result = api.study(
        tmp_path / "store", tmp_path / "out", recipe="segue", seeds=2, overrides=overrides, arms=["segue"], tune=False,
        device="cpu",
    )  # fmt: skip
    rows = {(row["name"], row["protocol"]): row for row in result["baselines"]}
    asked = [record for record in result["contrasts"] if record["metric"] == "hr@10"]
    assert {record["less"] for record in asked} == {"popularity", "markov", "v-sknn"}
    for record in asked:
        level = rows[record["less"], record["protocol"]]["hr@10"][0]
        mine = result["arms"]["segue"]["per_seed"][record["protocol"]]["hr@10"]
        assert record["per_seed"] == pytest.approx([value - level for value in mine])
        assert record["reasons"] == [{"arm": "segue", "why": "did not converge"}]
        assert record["primary"] == (record["protocol"] == "sampled")
    said = {answer["question"] for answer in result["verdict"]}
    assert "Is it better than the baselines?" in said
    assert "Do skips help: S+ > S-?" not in said
    assert "less markov" in (tmp_path / "out" / "report.md").read_text()
