"""Many runs judged on the same targets: the same numbers as one by one, and nothing made twice that hangs on none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.cli.main import main
from segue.columns import ORACLE_P_LISTEN, ORACLE_P_LISTEN_COMMON
from segue.errors import InputError
from segue.evaluation import FORMS, Question, contrasts, metric_rows
from segue.evaluation.bootstrap import Bootstrap
from segue.model.heads import neighbours
from segue.neighbours.session_index import SessionIndex
from segue.neighbours.session_neighbours import Shares
from segue.neighbours.sparse_scores import FlatSessions
from segue.ranking import BASELINE_NAMES, Scorer
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.evaluator import Evaluator
from segue.verbs.simulate import SimulateOptions, simulate
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe
from support.stores import tiny_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A store and three runs on it: two seeds of one recipe, and one judged on other candidates."""
    folder = tmp_path_factory.mktemp("evaluator")
    tiny_store(folder / "store", sessions=40)
    changes = [{"training__seed": 1}, {"training__seed": 2}, {"evaluation__candidates": 5}]
    runs = []
    for place, change in enumerate(changes):
        runs.append(folder / f"run{place}")
        recipe = small_recipe(training__epochs=1, data__vocabulary="transductive", **change)
        train(folder / "store", runs[-1], TrainOptions(recipe=recipe, device="cpu"))
    return folder / "store", runs


def test_an_evaluator_finds_what_the_verb_finds(trained: tuple[Path, list[Path]]) -> None:
    store, runs = trained
    evaluator = Evaluator(store, device="cpu")
    first, second, third = runs
    asked = [(first, "both"), (second, "popularity"), (third, "both"), (first, "popularity"), (second, "both")]
    for run, protocol in asked:
        found = evaluator.evaluate(run, protocol)
        alone = evaluate(run, store, EvaluateOptions(protocol=protocol, device="cpu"))
        assert found.to_json() == alone.to_json()


def test_the_seed_of_the_recipe_draws_rivals_and_resamples(trained: tuple[Path, list[Path]], tmp_path: Path) -> None:
    """The same weights, judged by two seeds: other rivals, other intervals, and the same ranks among all tracks."""
    store, runs = trained
    changes = {"training__seed": 1, "evaluation__seed": 7}
    recipe = small_recipe(training__epochs=1, data__vocabulary="transductive", **changes)
    train(store, tmp_path / "run", TrainOptions(recipe=recipe, device="cpu"))
    evaluator = Evaluator(store, device="cpu")
    for asked in ("both", "popularity"):
        zero, seven = (evaluator.evaluate(run, asked) for run in (runs[0], tmp_path / "run"))
        for row in seven.rows:
            other = zero.row(row.name, row.protocol)
            assert np.array_equal(row.ranks, other.ranks) == (row.protocol in FORMS), (row.name, row.protocol)
            assert row.metrics["mrr"].low != other.metrics["mrr"].low


def test_what_hangs_on_no_model_is_made_once(trained: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    store, runs = trained
    made = dict[str, int]()

    def counted(module: object, name: str) -> None:
        real = getattr(module, name)

        def call(*given: object, **named: object) -> object:
            made[name] = made.get(name, 0) + 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, call)

    for name in ("strata", "target_groups", "find_pairs", "find_near", "baseline_predictions", "session_candidates"):
        counted(metric_rows, name)
    counted(Bootstrap, "_drawn")
    counted(metric_rows, "_row")
    evaluator = Evaluator(store, device="cpu")
    one, two, again = (evaluator.evaluate(run) for run in (runs[0], runs[1], runs[0]))
    assert made.pop("_row") == 3 * 3 + 3 * len(BASELINE_NAMES)  # three models, once every baseline; three protocols
    assert made == dict.fromkeys(
        ["strata", "target_groups", "find_pairs", "baseline_predictions", "session_candidates", "_drawn"], 1
    ), "and what is near a track is never looked for: no scorer here reads feedback"
    assert one.targets is two.targets
    assert [row for row in one.rows if row.kind == "baseline"] == [row for row in two.rows if row.kind == "baseline"]
    assert again.to_json() == one.to_json()


def test_an_evaluation_looks_for_the_neighbours_of_a_session_once(
    trained: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model and lambda 0, full and sampled, feedback flipped or not: always the same sessions, or some of them."""
    recipe = small_recipe(training__epochs=1, heads__neighbours=True, heads__listen=True)
    train(trained[0], tmp_path / "run", TrainOptions(recipe=recipe, device="cpu"))
    chosen(tmp_path / "run", 1.0)
    real, asked = neighbours.neighbour_shares, list[bytes]()

    def count(index: SessionIndex, sessions: FlatSessions) -> Shares:
        asked.append(sessions.tracks.tobytes() + sessions.offsets.tobytes())
        return real(index, sessions)

    monkeypatch.setattr(neighbours, "neighbour_shares", count)
    found = Evaluator(trained[0], device="cpu").evaluate(tmp_path / "run", baselines=False)
    assert 0 < len(asked) == len(set(asked)) <= 2, "all sessions, and those of the pairs"
    assert {row.name for row in found.rows if row.kind == "model"} == {"model", "model, lambda 0"}


def test_a_model_whose_lambda_is_zero_is_ranked_once(
    trained: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(training__epochs=1, heads__neighbours=True, heads__listen=True)
    train(trained[0], tmp_path / "run", TrainOptions(recipe=recipe, device="cpu"))
    real, ranked = metric_rows._rows, list[str]()

    def count(table: metric_rows.Table, scorer: Scorer, *given: Any) -> Any:
        ranked.append(scorer.name)
        return real(table, scorer, *given)

    monkeypatch.setattr(metric_rows, "_rows", count)
    for weight, passes in ((0.0, ["model"]), (1.0, ["model", "model, lambda 0"])):
        ranked.clear()
        chosen(tmp_path / "run", weight)
        found = Evaluator(trained[0], device="cpu").evaluate(tmp_path / "run", "full", baselines=False)
        assert [name for name in ranked if "alone" not in name] == passes
        model, none = (found.row(name, "full") for name in ("model", "model, lambda 0"))
        assert (replace(none, name="model") == model) == (weight == 0.0)


def chosen(run: Path, listen_weight: float) -> None:
    """Write weights into a run as if validation had chosen them."""
    weights = {"listen_weight": listen_weight, "neighbours": {"mass": 40.0}}
    (run / "ranking.json").write_text(json.dumps(weights), encoding="utf-8")


def test_models_of_one_evaluator_can_be_contrasted(trained: tuple[Path, list[Path]]) -> None:
    store, runs = trained
    evaluator = Evaluator(store, device="cpu")
    one, two = (evaluator.evaluate(run, baselines=False) for run in runs[:2])
    found = contrasts([one], [two], [Question("full", "mrr"), Question("sampled", "log-rank.skipped")])
    difference = one.row("model", "full").metrics["mrr"].value - two.row("model", "full").metrics["mrr"].value
    assert found[0].per_seed[0] == pytest.approx(difference)
    assert found[0].per_seed[0] != 0


def test_popularity_is_a_third_protocol_and_no_part_of_both(
    trained: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, runs = trained
    asked = ["evaluate", str(runs[0]), str(store), "--json", "--quiet"]
    assert main(asked) == 0
    assert {row["protocol"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"full", "unheard", "sampled"}
    both = (runs[0] / "evaluation" / "test.json").read_bytes()
    assert main([*asked, "--protocol", "popularity"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["protocol"] for row in document["rows"]} == {"popularity"}
    assert document["counts"]["sessions_with_fewer_popular_candidates"] == 0
    assert (runs[0] / "evaluation" / "test.json").read_bytes() == both
    assert json.loads((runs[0] / "evaluation" / "test-popularity.json").read_text())["rows"] == document["rows"]
    assert main(["evaluate", str(runs[0]), str(store), "--quiet", "--protocol", "popularity"]) == 0
    assert "\npopularity\n" in capsys.readouterr().out


def test_a_model_that_loses_to_a_baseline_says_so(
    trained: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, runs = trained
    found = evaluate(runs[0], store, EvaluateOptions(device="cpu")).to_json()
    rows = {(row["name"], row["protocol"]): row for row in found["rows"]}
    own = rows["model", "sampled"]
    better = {name for (name, protocol), row in rows.items() if protocol == "sampled" and row["hr@10"] > own["hr@10"]}
    assert set(own["beaten_by"]["hr@10"]) == {n for n in better if rows[n, "sampled"]["hr@10"][0] > own["hr@10"][0]}
    assert own["beaten_by"]["hr@10"], "one epoch on 40 sessions loses to some baseline"
    assert "beaten_by" not in rows["markov", "sampled"]
    assert main(["evaluate", str(runs[0]), str(store), "--quiet"]) == 0
    assert f"model loses to {own['beaten_by']['hr@10'][0]}" in capsys.readouterr().out


def test_an_unknown_protocol_is_refused(trained: tuple[Path, list[Path]]) -> None:
    store, runs = trained
    with pytest.raises((InputError, TypeError), match="popular"):
        Evaluator(store, device="cpu").evaluate(runs[0], "popular")  # type: ignore[arg-type]


def test_p_listen_is_given_by_position_and_the_truth_of_simulated_pairs_is_a_ceiling(tmp_path: Path) -> None:
    simulate(tmp_path / "store", SimulateOptions(sessions=300, tracks=400, store=True))
    recipe = small_recipe(training__epochs=1, evaluation__resamples=50, data__vocabulary="training")
    train(tmp_path / "store", tmp_path / "run", TrainOptions(recipe=recipe, device="cpu"))
    found = evaluate(tmp_path / "run", tmp_path / "store", EvaluateOptions(device="cpu"))
    rows, store = {row["name"]: row for row in found.listening}, Store(tmp_path / "store")
    last, strength = store.offsets[1:] - 1, np.asarray(store.strength)
    heard = np.diff(store.offsets) - 1
    p = np.asarray(store.side(ORACLE_P_LISTEN))[last].astype(np.float64)
    known = strength[last] < 4
    losses = -np.log(np.where(strength[last] < 2, p, 1 - p))
    for place, (low, high) in {"1-5": (1, 5), "6-10": (6, 10), "11-15": (11, 15), "16-20": (16, 20)}.items():
        chosen = known & (heard >= low) & (heard <= high)
        value, below, above = rows["oracle"]["positions"][place]
        if chosen.any():
            assert value == pytest.approx(losses[chosen].mean())
            assert below <= value <= above
        else:
            assert value is None
    common = np.asarray(store.side(ORACLE_P_LISTEN_COMMON)).astype(np.float64)
    orders = []
    for one, other in ((last - 1, last), (last, last - 1)):
        mixed = (strength[one] < 2) & (strength[other] >= 2) & (strength[other] < 4)
        mixed &= np.isin(np.stack([store.tracks[one], store.tracks[other]]), _candidates(store)).all(axis=0)
        orders.append(np.mean((common[one] > common[other]) + (common[one] == common[other]) / 2, where=mixed))
    assert rows["oracle"]["pair-auc"][0] == pytest.approx(np.mean(orders))
    assert rows["oracle"]["pair-auc"][0] > 0.5
    assert "pair-auc" not in rows["track-rate"]


def _candidates(store: Store) -> np.ndarray:
    """Return the tracks with a row before the last two of a session."""
    ends = np.zeros(store.num_rows, np.bool_)
    ends[store.offsets[1:] - 1] = ends[store.offsets[1:] - 2] = True
    return np.unique(np.asarray(store.tracks)[~ends])
