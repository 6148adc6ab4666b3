"""A study's arms, tuning and plan."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from segue.cli.main import main
from segue.errors import InputError
from segue.recipes import load_recipe
from segue.studies.design import TUNING_SEED, Design
from segue.studies.designs import DESIGNS, read_design
from segue.studies.runner import chosen_design, suited
from segue.studies.study_options import StudyOptions
from segue.studies.study_schedule import BASELINES, StudySchedule
from segue.studies.trials.trial import Outcome, Trial
from segue.studies.trials.trial_folder import TrialFolder
from support.shown_code import blocks
from support.stores import tiny_store


def test_table_1_has_the_six_columns_and_twelve_primary_questions() -> None:
    design = DESIGNS["table1"]
    assert len(design.arms) == 6
    assert sum(pair.primary for pair in design.compared) == 4  # times three metrics: Holm over 12
    for pair in design.compared:
        assert {pair.arm, pair.less} <= {arm.name for arm in design.arms}


def trials_of(design: Design, path: Path, seeds: int = 2, **more: Any) -> list[Trial]:
    """Return the trials of a study in the order in which one worker makes them, without the baselines."""
    folder = TrialFolder.create(path / "study", {}, "study", overwrite=False)
    schedule, trials = StudySchedule(folder, design, StudyOptions(seeds=seeds, **more)), list[Trial]()
    while (trial := schedule.next_trial(())) is not None:
        folder.finish(trial, Outcome(validation={"ndcg@20": 0.5}))
        schedule.end(trial.name)
        trials.append(trial)
    assert schedule.counts == (len(trials), len(trials))
    assert trials[-1].name == BASELINES
    return trials[:-1]


def seed_of(trial: Trial) -> int:
    seed: int = trial.recipe["training"]["seed"]
    return seed


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_arm_resolves_and_each_that_is_tuned_has_the_same_budget(name: str, tmp_path: Path) -> None:
    design = DESIGNS[name]
    trials = trials_of(design, tmp_path)
    budgets = Counter(trial.name.partition("--tuning-")[0] for trial in trials if not trial.tested)
    assert len(set(budgets.values())) <= 1
    assert set(budgets) == ({arm.name for arm in design.arms if arm.tuned_as is None} if design.tuned else set())
    assert len({trial.name for trial in trials}) == len(trials) == design.num_trainings(2)
    assert len([trial for trial in trials if trial.tested]) == 2 * len(design.arms)


@pytest.mark.parametrize("seeds", [1, 5])
def test_tuning_seeds_are_never_reported(seeds: int, tmp_path: Path) -> None:
    trials = trials_of(DESIGNS["table1"], tmp_path, seeds)
    assert {seed_of(trial) for trial in trials if not trial.tested} == {TUNING_SEED}
    assert {seed_of(trial) for trial in trials if trial.tested} == set(range(seeds))
    assert len(trials) == 6 * 4 + 6 * seeds


def test_a_trial_has_its_own_seed_whatever_is_laid_over_its_arm(tmp_path: Path) -> None:
    """A seed given to all arms would otherwise be the one that chooses and the one that is reported."""
    trials = trials_of(DESIGNS["table1"], tmp_path, overrides={"training.seed": 7}, tuning_epochs=2)
    assert {seed_of(trial) for trial in trials} == {0, 1, TUNING_SEED}
    epochs = {trial.tested: trial.recipe["training"]["epochs"] for trial in trials}
    assert epochs[False] == 2 < epochs[True]


def test_an_arm_that_takes_the_settings_of_another_keeps_what_it_changes_itself(tmp_path: Path) -> None:
    design = DESIGNS["ablations"].cut(["causal-s-plus-track", "temperature-50"], tuned=False)
    trials = trials_of(design, tmp_path, seeds=1, tuning_trials=2)
    chosen, other = (trial for trial in trials if trial.tested)
    assert chosen.name == "causal-s-plus-track--seed-0"
    assert chosen.settings.items() > other.settings.items()
    assert set(chosen.settings) - set(other.settings) == {"terms.0.temperature"}
    assert other.recipe["terms"][0]["temperature"] == 0.5


@pytest.mark.parametrize("name", list(DESIGNS))
def test_a_study_is_shown_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    design = DESIGNS[name]
    assert main(["studies"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name + " "))
    assert line.split()[1:3] == [str(len(design.arms)), str(design.num_trainings(5))]
    assert main(["studies", "show", name]) == 0
    shown = capsys.readouterr().out
    assert main(["studies", "show", name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in document["arms"]] == [arm.name for arm in design.arms]
    for arm, designed in zip(document["arms"], design.arms, strict=True):
        assert f"\n{arm['name']} " in shown
        assert load_recipe(arm["recipe"], arm["changes"]) == designed.resolved({})
    assert [(pair["arm"], pair["less"]) for pair in document["compared"]] == [
        (pair.arm, pair.less) for pair in design.compared
    ]


def test_a_study_that_is_none_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studies", "show", "ablation"]) == 2
    assert "did you mean 'ablations'" in capsys.readouterr().err


def test_a_cut_design_keeps_what_can_be_compared() -> None:
    cut = chosen_design(StudyOptions("table1", arm=("causal-s-minus", "causal-s-plus-track"), no_tune=True))
    assert [(pair.arm, pair.less) for pair in cut.compared] == [("causal-s-plus-track", "causal-s-minus")]
    assert cut.settings() == []
    assert cut.num_trainings(5) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (StudyOptions("tabel1"), "did you mean 'table1'"),
        (StudyOptions("table1", arm=("causal-s-mins",)), "did you mean 'causal-s-minus'"),
        (StudyOptions("table1", seeds=0), "at least one training"),
        (StudyOptions("table1", seeds=1001), "seed 1000 chooses settings"),
        (StudyOptions("table1", baseline=("markow",)), "did you mean 'markov'"),
    ],
)
def test_what_is_not_there_is_refused(options: StudyOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_design(options)


def test_arms_are_left_out_where_the_store_lacks_their_inputs(tmp_path: Path) -> None:
    plain, rich = tiny_store(tmp_path / "plain"), tiny_store(tmp_path / "rich", rich=True)
    whole = chosen_design(StudyOptions("segue", no_tune=True))
    kept, left_out = suited(whole, plain, {}, ())
    inputs = {"hour", "premium", "context type", "shuffle", "gap"}
    assert set(left_out) == {f"with {name}" for name in inputs}
    assert {arm.title for arm in whole.arms} - {arm.title for arm in kept.arms} == set(left_out)
    assert all("out of inputs.context.columns" in why for why in left_out.values())
    assert {pair.arm for pair in kept.compared} <= {arm.name for arm in kept.arms}
    assert suited(whole, rich, {}, ()) == (whole, {})


def test_an_arm_asked_for_is_not_left_out_silently(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    asked = ("segue", "with-gap")
    with pytest.raises(InputError, match=r"arm with-gap: .* has no times"):
        suited(chosen_design(StudyOptions("segue", arm=asked, no_tune=True)), store, {}, asked)
    with pytest.raises(InputError, match=r"study segue: .* has no column 'hour'"):
        suited(chosen_design(StudyOptions("segue", no_tune=True)), store, {"data.context": ["hour"]}, ())


def test_the_study_of_contributing_is_one(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "CONTRIBUTING.md"
    (example,) = blocks(page.read_text(encoding="utf-8"), "toml")
    (tmp_path / "width.toml").write_text(example, encoding="utf-8")
    design = read_design(tmp_path / "width.toml")
    widths = {arm.title: arm.resolved({}).encoder.width for arm in design.arms}
    assert widths == {
        "width 64, S-": 64, "width 64, S+ track": 64, "width 256, S-": 256, "width 256, S+ track": 256,
    }  # fmt: skip
    assert design.name == "width"
    assert {name for pair in design.compared for name in (pair.arm, pair.less)} == {arm.name for arm in design.arms}
    assert len(design.settings()) == 2


def test_days_are_no_study(tmp_path: Path) -> None:
    """Before anything is trained."""
    store = tiny_store(tmp_path / "store")
    with pytest.raises(InputError, match=r"studies/next_day\.py"):
        suited(chosen_design(StudyOptions("segue", no_tune=True)), store, {"data.split": "next-day"}, ())
