"""What a simulation leaves beside its log is joined: the truth of each row, and the mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from segue.data import oracle
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.prepared_logs import random_rows, write_log


def test_the_truth_is_joined_by_session_and_position(tmp_path: Path) -> None:
    (tmp_path / "training_set").mkdir()
    rows = random_rows(0)
    write_log(tmp_path / "training_set" / "log_0_20180715_000000000000.csv", rows)
    truth = pl.DataFrame(
        {
            "session_id": [row["session_id"] for row in rows],
            "session_position": [int(row["session_position"]) for row in rows],
            "oracle_p_listen": np.arange(len(rows), dtype=np.float32),
            "oracle_p_listen_common": np.full(len(rows), np.nan, np.float32),
        }
    )
    truth[1:].reverse().write_parquet(tmp_path / "oracle.parquet")
    (tmp_path / "simulation.json").write_text('{"world": "null"}')
    report = prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd"))
    store = Store(tmp_path / "store")
    assert report.simulated
    assert store.manifest.source.simulated == {"world": "null"}
    np.testing.assert_array_equal(store.side("oracle_p_listen"), np.float32([np.nan, *range(1, len(rows))]))


def test_the_truth_may_lie_in_another_order_and_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "_BATCH_ROWS", 5)
    (tmp_path / "training_set").mkdir()
    everything = []
    for number in range(3):
        rows = random_rows(number, 8)
        write_log(tmp_path / "training_set" / f"log_{number}.csv", rows)
        everything += rows
    truth = pl.DataFrame(
        {
            "session_id": [row["session_id"] for row in everything],
            "session_position": [int(row["session_position"]) for row in everything],
            "p_listen": np.arange(len(everything), dtype=np.float32),
            "p_listen_common": np.zeros(len(everything), np.float32),
        }
    )
    late = truth[3:4].with_columns(p_listen=pl.lit(-1.0, pl.Float32))
    pl.concat([truth.sample(fraction=1.0, shuffle=True, seed=0), late]).write_parquet(tmp_path / "oracle.parquet")
    prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd"))
    values = Store(tmp_path / "store").side("oracle_p_listen")
    np.testing.assert_array_equal(values, np.arange(len(everything), dtype=np.float32))
