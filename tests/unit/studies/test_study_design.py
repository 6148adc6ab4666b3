"""A study's arms, tuning and plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.cli.main import main
from segue.errors import InputError
from segue.recipes import load_recipe
from segue.studies import DESIGNS, StudyOptions
from segue.studies.cells import recipe_of
from segue.studies.design import TUNING_SEED, Cell, Plan
from segue.studies.runner import chosen_design
from segue.studies.suited import suited
from stores import tiny_store


def test_table_1_has_the_six_columns_and_twelve_primary_questions() -> None:
    design = DESIGNS["table1"]
    assert len(design.arms) == 6
    assert sum(pair.primary for pair in design.compared) == 4  # times three metrics: Holm over 12
    for pair in design.compared:
        assert {pair.arm, pair.less} <= {arm.name for arm in design.arms}


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_arm_resolves_and_is_tuned_with_the_same_budget(name: str) -> None:
    design = DESIGNS[name]
    budgets = {len(design.tuning_cells(arm)) for arm in design.arms}
    assert len(budgets) == 1
    for arm in design.arms:
        arm.resolved({})
    names = [cell.name for arm in design.arms for cell in Plan(design, 2, {}, {arm.name: {}}).reported(arm.name)]
    assert len(set(names)) == len(names)


def test_tuning_seeds_are_never_reported() -> None:
    design = DESIGNS["table1"]
    plan = Plan(design, 5, {}, {arm.name: {"training.learning_rate": 0.001} for arm in design.arms})
    assert {cell.seed for cell in plan.cells() if cell.tuning} == {TUNING_SEED}
    assert {cell.seed for cell in plan.cells() if not cell.tuning} == set(range(5))
    assert len(plan.cells()) == plan.total == 6 * 4 + 6 * 5


@pytest.mark.parametrize("seeds", [1, 5, 1000])
def test_no_seed_chooses_settings_and_is_reported_too(seeds: int) -> None:
    plan = Plan(DESIGNS["table1"], seeds, {}, {"causal-s-minus": {"training.learning_rate": 0.001}})
    cells = plan.cells()
    choosing, reported = ({cell.seed for cell in cells if cell.tuning == tuning} for tuning in (True, False))
    assert len(reported) == seeds
    assert choosing
    assert not choosing & reported


def test_a_cell_trains_with_its_own_seed_whatever_is_laid_over_its_arm() -> None:
    """A seed given to all arms would otherwise be the one that chooses and the one that is reported."""
    design, over = DESIGNS["table1"], {"training.seed": 7}
    cells = Plan(design, 2, over, {design.arms[0].name: {}}).cells()
    assert {cell.seed for cell in cells} == {0, 1, TUNING_SEED}
    for cell in cells:
        assert recipe_of(design.name, cell, over).training.seed == cell.seed


@pytest.mark.parametrize("name", list(DESIGNS))
def test_a_study_is_shown_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    design = DESIGNS[name]
    assert main(["studies"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name + " "))
    plan = Plan(design, 5, {}, {arm.name: {"training.learning_rate": 0.001} for arm in design.arms})
    assert line.split()[1:3] == [str(len(design.arms)), str(len(plan.cells()))]
    assert main(["studies", "show", name]) == 0
    shown = capsys.readouterr().out
    assert main(["studies", "show", name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in document["arms"]] == [arm.name for arm in design.arms]
    for arm in document["arms"]:
        assert f"\n{arm['name']} " in shown
        assert load_recipe(arm["recipe"], arm["changes"]) == design.arm(arm["name"]).resolved({})
    assert [(pair["arm"], pair["less"]) for pair in document["compared"]] == [
        (pair.arm, pair.less) for pair in design.compared
    ]


def test_a_study_that_is_none_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studies", "show", "ablation"]) == 2
    assert "did you mean 'ablations'" in capsys.readouterr().err


def test_a_cell_has_a_plain_name() -> None:
    cell = Cell("causal-s-minus", 3, {"training.learning_rate": 0.0005}, False)
    assert cell.name == "causal-s-minus--learning_rate-0.0005--seed-3"


def test_a_cut_design_keeps_what_can_be_compared() -> None:
    cut = chosen_design("table1", StudyOptions(arms=("causal-s-minus", "causal-s-plus-track"), tune=False))
    assert [(pair.arm, pair.less) for pair in cut.compared] == [("causal-s-plus-track", "causal-s-minus")]
    assert cut.tuning_cells(cut.arms[0]) == []


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("tabel1", StudyOptions(), "did you mean 'table1'"),
        ("table1", StudyOptions(arms=("causal-s-mins",)), "did you mean 'causal-s-minus'"),
        ("table1", StudyOptions(seeds=0), "at least one training"),
        ("table1", StudyOptions(seeds=1001), "seed 1000 chooses settings"),
        ("table1", StudyOptions(jobs=-1), "jobs is -1"),
        ("table1", StudyOptions(baselines=("markow",)), "did you mean 'markov'"),
    ],
)
def test_what_is_not_there_is_refused(name: str, options: StudyOptions, told: str) -> None:
    with pytest.raises(InputError, match=told):
        chosen_design(name, options)


def test_arms_are_left_out_where_the_store_lacks_their_inputs(tmp_path: Path) -> None:
    plain, rich = tiny_store(tmp_path / "plain"), tiny_store(tmp_path / "rich", rich=True)
    whole = chosen_design("segue", StudyOptions(tune=False))
    kept, left_out = suited(whole, plain, {}, ())
    inputs = {"hour", "premium", "context type", "shuffle", "gap"}
    assert set(left_out) == {f"with {name}" for name in inputs}
    assert {arm.title for arm in whole.arms} - {arm.title for arm in kept.arms} == set(left_out)
    assert all("leave it out" in why for why in left_out.values())
    assert {pair.arm for pair in kept.compared} <= {arm.name for arm in kept.arms}
    assert suited(whole, rich, {}, ()) == (whole, {})


def test_an_arm_asked_for_is_not_left_out_silently(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    asked = ("segue", "with-gap")
    with pytest.raises(InputError, match=r"arm with-gap: .* has no times"):
        suited(chosen_design("segue", StudyOptions(arms=asked, tune=False)), store, {}, asked)
    with pytest.raises(InputError, match=r"study segue: .* has no column 'hour'"):
        suited(chosen_design("segue", StudyOptions(tune=False)), store, {"data.context": ["hour"]}, ())
