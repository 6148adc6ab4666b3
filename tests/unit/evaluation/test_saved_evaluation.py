"""An evaluation read back from disk answers what it answered before, without its model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from segue.batches.split import DataConfig, split_store
from segue.errors import FormatError, InputError
from segue.evaluation import (
    Evaluation,
    Question,
    Table,
    assembled,
    contrasts,
    load_evaluation,
    make_scene,
    save_evaluation,
    scorer_rows,
)
from segue.evaluation.answers import COMBINED, metric_names, metric_ratio
from segue.evaluation.records import Protocol
from segue.evaluation.saved import DOCUMENT, coded, decoded
from segue.model.encoders.causal import CausalConfig
from segue.ranking import ModelScorer, fit_baselines
from segue.recipes import EvaluationConfig
from support.small_models import encoder_of
from support.stores import tiny_store

PROTOCOLS: tuple[Protocol, ...] = ("full", "unheard", "sampled", "popularity")


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    """Four models, one of which scores nothing but NaN for some sessions, each beside two baselines."""
    import torch

    store = tiny_store(tmp_path_factory.mktemp("saved") / "store", sessions=45, tracks=90)
    data = DataConfig(vocabulary="training")
    split = split_store(store, data)
    table = Table(make_scene(store, split, data, EvaluationConfig(candidates=20, resamples=30), "test", "cpu"))
    baselines = [one for one in fit_baselines(store, split) if one.name in ("repeat-last", "markov")]
    found = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        encoder = encoder_of(CausalConfig(width=16, heads=2), store.num_tracks, 20, generator)
        with torch.no_grad():
            encoder.table.weight.mul_(50)
            if seed == 3:
                encoder.table.weight[20] = nan
        scorer, rows = ModelScorer(encoder, split.candidates), []
        scorer.reads_feedback = seed % 2 == 0  # so that ranks under a flip are kept of some
        rows += scorer_rows(table, [scorer], "model", PROTOCOLS)
        rows += scorer_rows(table, baselines, "baseline", PROTOCOLS)
        found.append(assembled(table, rows))
    return found


def everything(evaluation: Evaluation) -> list[Question]:
    """Return every question that all rows of the model can answer, by stratum too.

    'skipped@1' is over the targets that a model ranks first, which differ.
    """
    asked = []
    for protocol in PROTOCOLS:
        answers = evaluation.row("model", protocol).answers
        names = [*metric_names(evaluation.targets, answers), *COMBINED, "hr@3", "ndcg@7.skipped"]
        asked += [Question(protocol, name) for name in names if name != "skipped@1"]
        asked += [Question(protocol, "hr@10", stratum) for stratum in evaluation.strata]
    return [*asked, Question("full", "mrr", name="markov")]


def test_what_is_read_back_answers_the_same(arms: list[Evaluation], tmp_path: Path) -> None:
    read = []
    for place, evaluation in enumerate(arms):
        save_evaluation(tmp_path / str(place), evaluation)
        read.append(load_evaluation(tmp_path / str(place)))
        assert read[-1].to_json() == evaluation.to_json()
        assert str(read[-1]) == str(evaluation)
        assert read[-1].config == evaluation.config
        assert read[-1].num_nan == evaluation.num_nan
        assert np.array_equal(read[-1].unit, evaluation.unit)
    assert arms[3].num_nan > 0
    assert np.isinf(arms[0].row("model", "full").ranks).any(), "some targets are no candidates"
    questions = everything(arms[0])
    before, after = contrasts(arms[:2], arms[1:3], questions), contrasts(read[:2], read[1:3], questions)
    assert [repr(found) for found in after] == [repr(found) for found in before]  # repr: NaN equals itself
    assert sum(abs(found.over_seeds.value) > 0 for found in before) > 40


def test_lists_that_nan_scores_cut_short_are_not_contrasted_with_whole_ones(arms: list[Evaluation]) -> None:
    with pytest.raises(InputError, match="log-popularity@20 is not defined on the same targets"):
        contrasts(arms[:1], arms[3:], [Question("full", "log-popularity@20")])


def test_every_ratio_survives_bit_by_bit(arms: list[Evaluation], tmp_path: Path) -> None:
    save_evaluation(tmp_path / "cell", arms[2])
    read = load_evaluation(tmp_path / "cell")
    for row in arms[2].rows:
        other = read.row(row.name, row.protocol)
        for name in metric_names(arms[2].targets, row.answers):
            pairs = zip(
                metric_ratio(arms[2].targets, row.answers, name),
                metric_ratio(read.targets, other.answers, name),
                strict=True,
            )
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs), (row.name, row.protocol, name)


def of_the_model(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation without its baselines, as a study keeps it."""
    return dataclasses.replace(evaluation, rows=[row for row in evaluation.rows if row.kind == "model"])


def test_a_cell_may_leave_out_the_baselines(arms: list[Evaluation], tmp_path: Path) -> None:
    save_evaluation(tmp_path / "cell", of_the_model(arms[0]))
    read = load_evaluation(tmp_path / "cell")
    assert [row.name for row in read.rows] == ["model"] * len(PROTOCOLS)
    assert "beaten_by" not in read.to_json()["rows"][0]
    assert "beaten_by" in arms[0].to_json()["rows"][0]


def test_ranks_are_coded_exactly() -> None:
    ranks = np.array([1.0, 1.5, 501.0, 2.0**31 - 1.5, inf, nan])
    assert coded(ranks).tolist() == [2, 3, 1002, 2**32 - 3, 2**32 - 1, 2**32 - 2]
    assert np.array_equal(decoded(coded(ranks)), ranks, equal_nan=True)
    assert coded(ranks[:0]).dtype == np.uint32
    for wrong in (1.25, -1.0, 2.0**31 - 1, -inf):
        with pytest.raises(ValueError, match="half"):
            coded(np.array([wrong]))


def test_a_temporal_split_has_no_pairs_and_is_kept_all_the_same(tmp_path: Path) -> None:
    store, data = tiny_store(tmp_path / "store", sessions=60), DataConfig(split="temporal")
    split = split_store(store, data)
    table = Table(make_scene(store, split, data, EvaluationConfig(candidates=9, resamples=5), "test", "cpu"))
    evaluation = assembled(table, scorer_rows(table, fit_baselines(store, split)[:1], "model", ["full"]))
    assert evaluation.targets.pairs is None
    save_evaluation(tmp_path / "cell", evaluation)
    assert load_evaluation(tmp_path / "cell").to_json() == evaluation.to_json()


def test_nothing_is_pickled_and_a_cell_is_small(arms: list[Evaluation], tmp_path: Path) -> None:
    save_evaluation(tmp_path / "cell", arms[0])
    files = sorted(path.name for path in (tmp_path / "cell").rglob("*") if path.is_file())
    assert {Path(name).suffix for name in files} == {".npy", ".json"}
    for path in (tmp_path / "cell").rglob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind in "uif"
    num = len(arms[0].targets)
    assert (tmp_path / "cell" / "row-00" / "ranks.npy").stat().st_size == 128 + 4 * num


def test_an_existing_cell_is_replaced_only_when_asked(arms: list[Evaluation], tmp_path: Path) -> None:
    save_evaluation(tmp_path / "cell", arms[0])
    with pytest.raises(InputError, match="exists already"):
        save_evaluation(tmp_path / "cell", arms[1])
    save_evaluation(tmp_path / "cell", arms[1], overwrite=True)
    assert load_evaluation(tmp_path / "cell").to_json() == arms[1].to_json()
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    with pytest.raises(InputError, match="not ours"):
        save_evaluation(tmp_path / "mine", arms[0], overwrite=True)


def test_a_rank_that_cannot_be_kept_leaves_nothing_behind(arms: list[Evaluation], tmp_path: Path) -> None:
    from dataclasses import replace

    row = arms[0].rows[0]
    broken = replace(row, answers=replace(row.answers, ranks=row.ranks + 0.25))
    with pytest.raises(ValueError, match="half"):
        save_evaluation(tmp_path / "cell", replace(arms[0], rows=[broken]))
    assert list(tmp_path.iterdir()) == []


def _edit(folder: Path, **values: object) -> None:
    document = json.loads((folder / DOCUMENT).read_text())
    (folder / DOCUMENT).write_text(json.dumps(document | values))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / DOCUMENT).unlink(),
        lambda folder: (folder / DOCUMENT).write_text("{"),
        lambda folder: _edit(folder, format_version=3),
        lambda folder: _edit(folder, rows=[{}]),
        lambda folder: _edit(folder, rows=7),
        lambda folder: _edit(folder, split="train"),
        lambda folder: _edit(folder, config={"candidate": 3}),
        lambda folder: _edit(folder, targets={"num": 3}),
        lambda folder: _edit(folder, targets={"num": 45, "groups": ["a"], "strata": [], "pairs": 0}),
        lambda folder: (folder / "row-00" / "ranks.npy").unlink(),
        lambda folder: (folder / "row-00" / "ranks.npy").write_bytes(b"\x93NUMPY"),
        lambda folder: np.save(folder / "row-00" / "ranks.npy", np.zeros(45)),
        lambda folder: np.save(folder / "row-00" / "ranks.npy", np.zeros(44, np.uint32)),
        lambda folder: np.save(folder / "row-00" / "ranks.npy", np.array([{}] * 45), allow_pickle=True),
        lambda folder: np.save(
            folder / "targets" / "pair_chosen.npy", np.load(folder / "targets" / "pair_chosen.npy") + 45
        ),
    ],
)
def test_a_damaged_cell_is_refused(harm, arms: list[Evaluation], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save_evaluation(tmp_path / "whole", of_the_model(arms[0]))
    shutil.copytree(tmp_path / "whole", tmp_path / "cell")
    harm(tmp_path / "cell")
    with pytest.raises(FormatError, match="cell"):
        load_evaluation(tmp_path / "cell")


@pytest.mark.parametrize(("version", "help_"), [(1, "no ranks without heard tracks: evaluate again"), (3, "update")])
def test_another_format_is_refused_with_what_helps(
    version: int, help_: str, arms: list[Evaluation], tmp_path: Path
) -> None:
    save_evaluation(tmp_path / "cell", of_the_model(arms[0]))
    _edit(tmp_path / "cell", format_version=version)
    with pytest.raises(FormatError, match=help_):
        load_evaluation(tmp_path / "cell")
