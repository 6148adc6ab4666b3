"""From a simulated log in Yambda's layout to an evaluation by days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from segue import columns
from segue.batches.split import DataConfig, split_store
from segue.data.yambda_writer import END_S, PERCENTS
from segue.errors import InputError
from segue.evaluation.next_day import DayEvaluation
from segue.recipes import load_recipe
from segue.skips import played_strength
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.simulate import SimulateOptions, simulate
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe

OPTIONS = SimulateOptions(sessions=5000, tracks=400, listeners=60, layout="yambda")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yambda")
    simulate(path / "log", OPTIONS)
    prepare(path / "log", path / "store", PrepareOptions(source="auto"))
    return path


def test_the_log_has_yambdas_columns_and_the_same_bytes_each_time(folder: Path, tmp_path: Path) -> None:
    listens = pl.read_parquet(folder / "log" / "listens.parquet")
    assert listens.schema == {
        "uid": pl.UInt32,
        "timestamp": pl.UInt32,
        "item_id": pl.UInt32,
        "is_organic": pl.UInt8,
        "played_ratio_pct": pl.UInt16,
        "track_length_seconds": pl.UInt32,
    }
    assert (listens["timestamp"] % 5 == 0).all()
    assert END_S - 300 * 86_400 <= listens["timestamp"].min() < END_S - 298 * 86_400  # type: ignore[operator]
    assert END_S - 3_600 < listens["timestamp"].max() < END_S  # type: ignore[operator]
    assert listens.equals(listens.sort("uid", "timestamp", maintain_order=True))
    likes, dislikes = (pl.read_parquet(folder / "log" / f"{name}.parquet") for name in ("likes", "dislikes"))
    assert likes.columns == dislikes.columns == ["uid", "timestamp", "item_id", "is_organic"]
    assert 0 < len(dislikes) < len(likes) < len(listens) / 10
    simulate(tmp_path / "again", OPTIONS)
    assert (tmp_path / "again" / "listens.parquet").read_bytes() == (folder / "log" / "listens.parquet").read_bytes()


def test_its_recipe_finds_a_test_day_and_no_date_is_doubted(folder: Path) -> None:
    split = split_store(Store(folder / "store"), load_recipe("yambda-50m").data)
    assert len(split.cases["test"]) > 5
    assert len(split.cases["validation"]) > 5
    warnings = prepare(folder / "log", folder / "again", PrepareOptions(source="auto")).warnings
    assert not [text for text in warnings if "years" in text]


def test_a_listen_of_half_a_track_is_what_the_store_calls_listened(folder: Path) -> None:
    """But for plays that were liked or disliked."""
    store = Store(folder / "store")
    assert store.manifest.source.simulated["listeners"] == 60
    listens = pl.read_parquet(folder / "log" / "listens.parquet")
    share = np.concatenate([np.arange(low, high) for low, high in PERCENTS.values()])
    assert all((played_strength(one / 100) < 2) == (one >= 50) for one in share.tolist())
    listened = int((np.asarray(store.strength) < 2).sum())
    opinions = sum(len(pl.read_parquet(folder / "log" / f"{name}.parquet")) for name in ("likes", "dislikes"))
    repeated = len(listens) - store.num_rows
    assert abs(listened - int((listens["played_ratio_pct"] >= 50).sum())) <= opinions + repeated
    at = np.asarray(store.side(columns.AT))
    assert at.max() - at.min() == int(listens["timestamp"].max() - listens["timestamp"].min())  # type: ignore[operator]


def test_it_is_trained_and_evaluated_by_days(folder: Path) -> None:
    """Targets are counted in the file."""
    store = Store(folder / "store")
    changes = {"data__split": "next-day", "data__vocabulary": "training", "training__epochs": 1}
    train(store, folder / "run", TrainOptions(recipe=small_recipe(**changes), device="cpu"))
    found = evaluate(folder / "run", store, EvaluateOptions(device="cpu"))
    assert isinstance(found, DayEvaluation)
    assert found.simulated
    listens = pl.read_parquet(folder / "log" / "listens.parquet")
    last = int(listens["timestamp"].max()) + 1  # type: ignore[arg-type]
    day = listens.filter((pl.col("timestamp") >= last - 86_400) & (pl.col("played_ratio_pct") >= 50))
    before = listens.filter(pl.col("timestamp") < last - 86_400 - 1800)
    pairs = day.select("uid", "item_id").unique()
    assert found.counts["cases"] == pairs["uid"].n_unique() > 5
    again = pairs.join(before.select("uid", "item_id").unique(), on=["uid", "item_id"], how="semi")
    assert abs(found.counts["repeat"] / found.counts["targets"] - len(again) / len(pairs)) < 0.05
    split = split_store(store, DataConfig(split="next-day"))
    assert np.asarray(store.side(columns.AT))[split.training_rows].max() < last - 2 * 86_400 - 2 * 1800


def test_yambdas_layout_is_a_log_of_listeners(tmp_path: Path) -> None:
    for options in (
        SimulateOptions(sessions=30, tracks=300, layout="yambda"),
        SimulateOptions(sessions=30, tracks=300, layout="yambda", listeners=3, store=True),
    ):
        with pytest.raises(InputError, match="name --listeners"):
            simulate(tmp_path / "log", options)
