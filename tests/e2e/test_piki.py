"""Real likes and dislikes of music are read, trained on and measured; numbers of 50 listeners say nothing more.

A verdict of 2 (liked very much, it seems) is a like.

The data stands beside the checkout and never in it; where it is missing the tests say so.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from segue.data.cutting import Cutting
from segue.data.sources.table_columns import TableColumns
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.train import TrainOptions, train
from support.small_recipes import SMALL

PIKI = Path(__file__).parents[3] / "shared" / "data" / "piki-50"
needs_piki = pytest.mark.skipif(not PIKI.is_dir(), reason="the piki sample is not beside this checkout")


@needs_piki
def test_a_log_of_likes_is_read_and_its_bad_row_is_told(tmp_path: Path) -> None:
    prepare(
        PIKI / "toypiki_dataset.csv",
        tmp_path / "store",
        PrepareOptions(source="table", cutting=Cutting(gap_minutes=10080.0), max_rejected=0.05),
    )
    store = Store(tmp_path / "store")
    assert store.num_rows == 25
    assert set(np.unique(store.strength)) <= {0, 3}
    assert "wrong-flag" in (tmp_path / "store.rejected.csv").read_text()


@needs_piki
def test_histories_of_likes_and_dislikes_train_and_are_measured(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in (PIKI / "piki_eval.histories").read_text().splitlines()]
    with (tmp_path / "likes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "position", "track", "liked"])
        for user, *rest in lines:
            pairs = zip(rest[::2], rest[1::2], strict=True)
            writer.writerows([user, place, track, int(liked != "-1")] for place, (track, liked) in enumerate(pairs))
    prepare(
        tmp_path / "likes.csv", tmp_path / "store", PrepareOptions(source="table", columns=TableColumns(session="user"))
    )
    store = Store(tmp_path / "store")
    assert store.num_sessions == len(lines) == 50
    assert int((np.asarray(store.strength) == 3).sum()) == sum(line.count("-1") for line in lines)
    overrides = SMALL | {"training.epochs": 2, "next_track.kind": "shared"}
    train(
        store.path,
        tmp_path / "run",
        TrainOptions(recipe="paper-causal-s-plus-track", overrides=overrides, device="cpu"),
    )
    found = evaluate(tmp_path / "run", store.path, EvaluateOptions(device="cpu"))
    assert found.counts["targets"] == 50
    assert 0 <= found.row("model", "full").metrics["pair-auc"].value <= 1
    assert found.simulated == {}
