"""What a simulation leaves beside its log is joined: the truth of each row, and the mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from prepared_logs import random_rows, write_log
from segue.api.prepare import prepare_mssd
from segue.store import Store


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
    report = prepare_mssd(tmp_path, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert report.simulated
    assert store.manifest.source.simulated == {"world": "null"}
    np.testing.assert_array_equal(store.side("oracle_p_listen"), np.float32([np.nan, *range(1, len(rows))]))
