"""The components that CONTRIBUTING.md shows work: each is registered as the page says, and does what it says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, split_store
from segue.data import sources
from segue.data.cutting import Cutting
from segue.data.sources import source as source_module
from segue.evaluation import answers
from segue.exported import open_export
from segue.losses import NEXT_TRACK
from segue.model.encoders.registry import ENCODER_CONFIGS, ENCODERS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS
from segue.ranking.baselines import TrainingRows
from segue.runs import RunFolder, load_run
from segue.serving.kept_states import Session
from segue.serving.live_model import Asked, Filters, LiveModel
from segue.store import NUM_SPECIALS, Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.dense_scores import all_scores, dense_standing
from support.served import small_export, small_run
from support.shown_code import blocks
from support.small_recipes import small_recipe
from support.stores import tiny_store

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def names_of(heading: str) -> dict[str, Any]:
    """Return what the one Python block below a heading defines."""
    section = PAGE.split(f"### {heading}\n", 1)[1].split("\n### ", 1)[0]
    (code,) = blocks(section, "python")
    module = sys.modules.setdefault("shown", ModuleType("shown"))  # dataclasses look their module up
    names = vars(module)
    exec(code, names)  # noqa: S102 - our own page
    return names


def test_a_metric_stands_in_every_table_once_it_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    percentile = names_of("A metric")["percentile"]
    for registry in (answers.EVERYWHERE, answers.RULES):
        monkeypatch.setitem(registry, "percentile", percentile)  # type: ignore[arg-type]
    run = small_run(tmp_path)
    found = segue.evaluate(run, tmp_path / "store")
    for name in ("model", "popularity"):
        row = found.row(name, "full")
        over, under = percentile(found.targets, row.answers)
        estimate = row.metrics["percentile"]
        assert estimate.value == pytest.approx(over.sum() / under.sum())
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert (over[np.isinf(row.ranks)] == 0).all()
        assert (over[row.ranks == 1] == 1).all()


def test_a_baseline_is_a_scorer(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=60)
    split = split_store(store, DataConfig())
    scorer = names_of("A baseline")["HeardAgain"](TrainingRows.of(store, split))
    batch = SessionData.load(store, split, "cpu").context_batch(split.cases["test"], np.arange(12), 20)
    candidates = torch.from_numpy(split.candidates.astype(np.int64))
    every = all_scores(scorer, batch, split.candidates)
    wanted = dense_standing(every, candidates, candidates[:12, None], 7)
    standing = scorer.stand(batch, candidates[:12, None], 7)
    assert torch.equal(standing.best.tracks, wanted.best.tracks)
    assert torch.equal(standing.above, wanted.above)
    padded = batch.padded
    for session, valid, best in zip(padded.tracks, padded.valid, standing.best.tracks, strict=True):
        heard = set(session[valid].tolist()) & set(candidates.tolist())
        assert int(best[0]) in heard


def test_a_source_is_recognised_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = names_of("A source")["SOURCE"]
    module = ModuleType("turntable")
    vars(module)["SOURCE"] = source
    monkeypatch.setitem(sys.modules, "segue.data.sources.turntable", module)
    titles = dict(sources.TITLES)
    last = {"table": titles.pop("table")}
    title = "Turntable, plays of a record player"
    for module in (sources, source_module):
        monkeypatch.setattr(module, "TITLES", {**titles, source.name: title, **last})
    plays = [(1_700_000_000 + 300 * i, f"Song {i % 3}", "Band", 290 if i % 2 else 3, 300) for i in range(8)]
    lines = ["started,record,band,heard_s,length_s", *(",".join(map(str, play)) for play in plays)]
    (tmp_path / "turntable.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = prepare(
        tmp_path / "turntable.csv", tmp_path / "store", PrepareOptions(cutting=Cutting(accept=("lone-plays",)))
    )
    store = Store(tmp_path / "store")
    assert report.recognised
    assert store.manifest.source.kind == "turntable"
    assert store.strength.tolist() == [3, 0] * 4
    assert store.num_tracks == 3


def test_a_filter_takes_its_tracks_out(tmp_path: Path) -> None:
    export = open_export(small_export(tmp_path))
    assert export.title is not None
    model = LiveModel(export, threads=1)
    asked = Asked(Session((5,), (0,)), 60)
    (before,) = model.next_tracks([asked])
    words = [export.title.text(each.row - NUM_SPECIALS).split()[1] for each in before.suggestions[:2]]
    rows = names_of("A serving filter")["rows_with_words"](export, words)
    assert {export.title.text(int(row) - NUM_SPECIALS).split()[1] for row in rows} == set(words)
    (after,) = model.next_tracks([replace(asked, filters=Filters(blocked=rows))])
    assert [each.row for each in after.suggestions] == [each.row for each in before.suggestions[2:]]


def trained_losses(tmp_path: Path, **changes: Any) -> dict[str, float]:
    """Train a small recipe with what was registered, load it and recommend; return the losses of its last epoch."""
    store = tiny_store(tmp_path / "store", sessions=60, rich=True)
    changes = {"next_track__kind": "shared", "training__epochs": 2} | changes
    recipe = small_recipe("paper-causal-s-minus", **changes)
    segue.train(store, tmp_path / "run", segue.TrainOptions(recipe=recipe))
    again = load_run(tmp_path / "run")
    assert again.recipe == recipe.resolved(split_store(store, recipe.data), "cpu")
    tracks = [again.vocabulary.track_id(row) for row in (5, 6, 7)]
    assert len(segue.load(tmp_path / "run").recommend(tracks, k=5)) == 5
    assert np.isfinite(segue.evaluate(tmp_path / "run", store).row("model", "full").metrics["hr@10"].value)
    return RunFolder.open(tmp_path / "run").lines("metrics")[-1]


def test_an_encoder_trains_and_recommends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_of("An encoder")
    monkeypatch.setitem(ENCODERS, names["MeanConfig"], names["MeanEncoder"])  # type: ignore[arg-type]
    monkeypatch.setitem(ENCODER_CONFIGS, "mean", names["MeanConfig"])  # type: ignore[arg-type]
    losses = trained_losses(tmp_path, encoder__kind="mean")
    assert 0 < losses["next_track"] < 3


def test_an_input_trains_and_recommends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "weekday", names_of("An input")["WeekdayInput"])  # type: ignore[arg-type]
    trained_losses(tmp_path, inputs__weekday=True)
    weights, _ = RunFolder.open(tmp_path / "run").weights()
    assert weights["inputs.weekday.weight"].shape == (8, 16)


def test_a_head_trains_beside_the_next_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "skip", names_of("A head")["SkipHead"])  # type: ignore[arg-type]
    losses = trained_losses(tmp_path, heads__skip={"weight": 0.3})
    assert 0 < losses["skip"] < 1
    assert losses["loss"] == pytest.approx((0.5 * losses["next_track"] + 0.3 * losses["skip"]) / 0.8, rel=1e-4)


def test_an_objective_trains_and_equals_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bpr = names_of("An objective")["Bpr"]
    monkeypatch.setitem(NEXT_TRACK, "bpr", bpr)  # type: ignore[arg-type]
    assert 0 < trained_losses(tmp_path, next_track__kind="bpr", next_track__negatives=7)["next_track"] < 1
