"""An arm is held against a baseline as against another arm, and a contrast counts where both arms beat the bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.evaluation import FORMS, PROTOCOLS, Evaluation, Protocol, Row, Targets
from segue.evaluation.answers import Answers, ListAnswers
from segue.evaluation.bootstrap import Estimate
from segue.recipes import EvaluationConfig
from segue.skips import BASELINES_TO_BEAT
from segue.studies.analysis import analysed
from segue.studies.designs import DESIGNS
from segue.studies.study_schedule import BASELINES, StudySchedule
from segue.studies.trials.trial import Outcome, Trial
from segue.studies.trials.trial_folder import TrialFolder
from segue.verbs.study import StudyOptions, study
from support.small_recipes import SMALL
from support.stores import tiny_store

OVERRIDES = {name: value for name, value in SMALL.items() if name != "next_track.negatives"}


def test_every_arm_of_segue_is_a_recipe_and_differs_from_the_whole() -> None:
    design = DESIGNS["segue"]
    made = {arm.name: arm.resolved({}) for arm in design.arms}
    whole = made["segue"].to_tables()
    assert all(recipe.to_tables() != whole for name, recipe in made.items() if name != "segue")
    assert {recipe.data.vocabulary for recipe in made.values()} == {"transductive"}


def test_a_cut_keeps_what_is_compared_with_baselines() -> None:
    cut = DESIGNS["segue"].cut(["segue"], tuned=False)
    assert [pair.less for pair in cut.compared] == ["popularity", "markov", "v-sknn", "ordered-neighbours"]


def test_an_arm_less_a_baseline_is_the_difference_of_their_levels(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store", sessions=60)
    overrides = OVERRIDES | {
        "training.epochs": 2,
        "training.patience": 9,
        "next_track.uniform": 6,
        "next_track.batch": 6,
    }  # segue alone has it
    result = study(
        tmp_path / "store",
        tmp_path / "out",
        StudyOptions(recipe="segue", seeds=2, overrides=overrides, arm=("segue",), no_tune=True, device="cpu"),
    )
    rows = {(row["name"], row["protocol"]): row for row in result["baselines"]}
    asked = [record for record in result["contrasts"] if record["metric"] == "hr@10"]
    assert {record["less"] for record in asked} == {"popularity", "markov", "v-sknn", "ordered-neighbours"}
    for record in asked:
        level = rows[record["less"], record["protocol"]]["hr@10"][0]
        mine = result["arms"]["segue"]["per_seed"][record["protocol"]]["hr@10"]
        assert record["per_seed"] == pytest.approx([value - level for value in mine], abs=2e-6)
        assert record["reasons"] == [{"arm": "segue", "why": "did not converge"}]
        assert record["primary"] == (record["protocol"] == "sampled")
    said = {answer["question"] for answer in result["verdict"]}
    assert "Is it better than the baselines?" in said
    assert "Do skips help: S+ > S-?" not in said
    assert "less markov" in (tmp_path / "out" / "report.md").read_text()


CUTOFFS = (1, 5, 10, 20)
TARGETS = Targets(np.arange(16), known_last=np.ones(16, np.bool_))
ARMS = ("causal-s-plus-track", "causal-s-minus")
"""First less second."""
HIGH, LOW, BAR = (7, 9, 11, 13), (5, 7, 9, 11), (3, 5, 7, 9)
"""How many of the sixteen targets stand among the first 1, 5, 10 and 20."""
Levels = dict[Protocol, tuple[int, ...]]


def row_of(name: str, protocol: Protocol, hits: tuple[int, ...]) -> Row:
    """Return a row so many of whose targets stand among the first 1, 5, 10 and 20."""
    ranks = np.full(len(TARGETS), np.inf)
    for cutoff, num in sorted(zip(CUTOFFS, hits, strict=True), reverse=True):
        ranks[:num] = cutoff
    levels = {f"hr@{cutoff}": num / len(TARGETS) for cutoff, num in zip(CUTOFFS, hits, strict=True)}
    metrics = {metric: Estimate(level, level, level) for metric, level in levels.items()}
    zeros = np.zeros(len(TARGETS))
    lists = ListAnswers(zeros, zeros.astype(int), zeros.astype(int), zeros) if protocol in FORMS else None
    return Row(
        name, "model" if name == "model" else "baseline", protocol, metrics, {}, Answers(ranks, 30.0, lists=lists)
    )


def levels(hits: tuple[int, ...]) -> Levels:
    return dict.fromkeys(PROTOCOLS, hits)


def evaluation(rows: dict[str, Levels]) -> Evaluation:
    made = [row_of(name, protocol, hits) for name, each in rows.items() for protocol, hits in each.items()]
    return Evaluation("test", made, TARGETS, {}, {}, EvaluationConfig(resamples=20))


def counted(
    path: Path, arms: dict[str, list[Levels]], baselines: dict[str, Levels], capped: tuple[str, int] | None = None
) -> dict[tuple[str, str], list[Any]]:
    """Return why each contrast does not count, by protocol and metric, of arms with such levels, seed after seed.

    `capped`: arm and seed of the training that met the epoch cap.
    """
    store, folder = tiny_store(path / "store"), TrialFolder.create(path / "study", {}, "study", overwrite=False)
    folder.finish(Trial(BASELINES, {}, trains=False), Outcome(), evaluation(baselines))
    schedule = StudySchedule(folder, DESIGNS["table1"].cut(ARMS, tuned=False), StudyOptions(seeds=2))
    for arm, seeds in arms.items():
        for seed, each in enumerate(seeds):
            outcome = Outcome(
                converged=(arm, seed) != capped, validation={"hr@10": 0.5, "ndcg@20": 0.4}, epochs=3, best_epoch=2
            )
            folder.finish(Trial(f"{arm}--seed-{seed}", {}, tested=True), outcome, evaluation({"model": each}))
    result = analysed(schedule, store)
    found = {(one["protocol"], one["metric"]): one for one in result["contrasts"]}
    assert (
        len(found) == len(result["contrasts"]) == 10
    )  # among sampled tracks the four, among all 1, 10 and 20 in both forms
    assert all(one["counts"] == (not one["reasons"]) for one in found.values())
    return {asked: [(reason["arm"], reason["why"]) for reason in one["reasons"]] for asked, one in found.items()}


def test_a_contrast_counts_where_both_arms_beat_all_baselines_of_the_bar(tmp_path: Path) -> None:
    arms = {ARMS[0]: [levels(HIGH)] * 2, ARMS[1]: [levels(LOW)] * 2}
    found = counted(tmp_path, arms, {name: levels(BAR) for name in BASELINES_TO_BEAT})
    assert not any(found.values())


def test_a_baseline_that_was_not_measured_is_not_beaten(tmp_path: Path) -> None:
    arms = {ARMS[0]: [levels(HIGH)] * 2, ARMS[1]: [levels(LOW)] * 2}
    found = counted(tmp_path, arms, {name: levels(BAR) for name in BASELINES_TO_BEAT if name != "markov"})
    assert all(why == [(arm, "was not held against markov") for arm in ARMS] for why in found.values())


@pytest.mark.parametrize("level", ["equal", "below"])
@pytest.mark.parametrize("bar", BASELINES_TO_BEAT)
@pytest.mark.parametrize(("protocol", "metric"), [("sampled", "hr@1"), ("sampled", "hr@5"), ("full", "hr@20")])
@pytest.mark.parametrize("low", ARMS)
def test_one_arm_that_does_not_beat_one_baseline_leaves_that_contrast_uncounted(
    tmp_path: Path, low: str, protocol: Protocol, metric: str, bar: str, level: str
) -> None:
    """On that metric and protocol, whichever of the two arms it is; all other contrasts of the pair count."""
    place = CUTOFFS.index(int(metric.removeprefix("hr@")))
    bars, mine = {name: levels(BAR) for name in BASELINES_TO_BEAT}, levels(LOW)
    bars[bar][protocol] = (*BAR[:place], LOW[place], *BAR[place + 1 :])
    if level == "below":
        mine[protocol] = (*LOW[:place], LOW[place] - 1, *LOW[place + 1 :])
    arms = {arm: [mine if arm == low else levels(HIGH)] * 2 for arm in ARMS}
    found = counted(tmp_path, arms, bars)
    assert found.pop((protocol, metric)) == [(low, f"does not beat {bar}")]
    assert not any(found.values())


def test_it_is_the_mean_over_seeds_that_beats_a_baseline(tmp_path: Path) -> None:
    """A seed at the bar and one above it: above. One below it and one so much above: at the bar, which is not above."""
    above, below = (BAR[0] + 1, *BAR[1:]), (BAR[0] - 1, *BAR[1:])
    bars = {name: levels(BAR) for name in BASELINES_TO_BEAT}
    for second, why in ((BAR, []), (below, [(ARMS[1], f"does not beat {bar}") for bar in bars])):
        arms = {ARMS[0]: [levels(HIGH)] * 2, ARMS[1]: [levels(above), levels(second)]}
        assert counted(tmp_path / str(second), arms, bars)["full", "hr@1"] == why


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_one_training_that_met_the_cap_leaves_its_contrasts_uncounted(tmp_path: Path, arm: str, seed: int) -> None:
    arms = {ARMS[0]: [levels(HIGH)] * 2, ARMS[1]: [levels(LOW)] * 2}
    found = counted(tmp_path, arms, {name: levels(BAR) for name in BASELINES_TO_BEAT}, capped=(arm, seed))
    assert all(why == [(arm, "did not converge")] for why in found.values())
