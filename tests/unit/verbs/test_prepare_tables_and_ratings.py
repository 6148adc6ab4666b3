"""Tables and ratings: ids stay text, orders hold, histories are cut as the method says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.prepared_logs import plain

EVENTS = {
    "session": ["a", "b", "a", "b", "a"],
    "position": [2, 1, 1, 2, 3],
    "track": ["007", "7", "x,y", "7", "007"],
    "skipped": [True, False, None, True, False],
}
TRUTH = sorted([[("x,y", 255), ("007", 3), ("007", 0)], [("7", 0), ("7", 3)]])


def test_csv_parquet_polars_and_pandas_give_the_same_store(tmp_path: Path) -> None:
    frame = pl.DataFrame(EVENTS)
    frame.write_csv(tmp_path / "log.csv")
    frame.write_parquet(tmp_path / "log.parquet")
    prints = set()
    for source in (tmp_path / "log.csv", tmp_path / "log.parquet", frame, pd.DataFrame(EVENTS)):
        report = prepare(source, tmp_path / "store", PrepareOptions(source="table", overwrite=True))
        prints.add(report.fingerprint)
        assert sorted(plain(tmp_path / "store").values()) == TRUTH
    assert len(prints) == 1


def test_time_orders_and_marks_ties(tmp_path: Path) -> None:
    frame = pl.DataFrame({"session": ["s"] * 4, "track": list("abcd"), "timestamp": [30, 10, 10, 20]})
    report = prepare(frame, tmp_path / "store", PrepareOptions(source="table"))
    store = Store(tmp_path / "store")
    assert [store.vocabulary.track_id(int(r)) for r in store.tracks] == ["b", "c", "d", "a"]
    assert store.side("tied").tolist() == [True, True, False, False]
    assert store.side("at").tolist() == [10, 10, 20, 30]
    assert report.tied_share == 0.5


def test_a_played_share_becomes_an_inferred_strength(tmp_path: Path) -> None:
    played = [0, 14, 15, 49, 50, 89, 90, 100, None]
    frame = pl.DataFrame({"session": ["s"] * 9, "track": list("abcdefghi"), "played": played, "duration": [100] * 9})
    report = prepare(frame, tmp_path / "store", PrepareOptions(source="table"))
    store = Store(tmp_path / "store")
    assert store.strength.tolist() == [3, 3, 2, 2, 1, 1, 0, 0, 255]
    assert store.side("inferred").tolist() == [True] * 8 + [False], "what is unknown is not inferred"
    assert report.inferred_share == 8 / 9


def test_side_columns_keep_flags_numbers_and_texts(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"session": ["s"] * 3, "track": list("abc"), "tempo": [90.5, None, 100], "mood": ["z", "é", "z"]}
    )
    prepare(frame, tmp_path / "store", PrepareOptions(source="table", columns=TableColumns(side=("tempo", "mood"))))
    store = Store(tmp_path / "store")
    np.testing.assert_array_equal(store.side("tempo"), np.float32([90.5, np.nan, 100]))
    mood = store.side_column("mood")
    assert mood is not None
    assert [mood.categories[code] for code in store.side("mood")] == ["z", "é", "z"]


def test_a_wrong_name_is_answered_with_the_nearest_and_all_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no track column 'trak'; did you mean 'track'.*session, position"):
        prepare(
            pl.DataFrame(EVENTS), tmp_path / "store", PrepareOptions(source="table", columns=TableColumns(track="trak"))
        )
    with pytest.raises(InputError, match="--track-column"):
        prepare(pl.DataFrame({"session": ["a"], "thing": ["b"]}), tmp_path / "store", PrepareOptions(source="table"))


def test_ratings_map_to_strengths_and_keep_tied_file_order(tmp_path: Path) -> None:
    rows = ["u,1,5,0", "u,2,4,0", "u,3,3,60", "u,4,2,60", "u,5,1,60", "v,1,0.5,0", "v,2,3.5,1200", "v,3,1,2401"]
    (tmp_path / "r.csv").write_text("user_id:token,item_id:token,rating:float,timestamp:float\n" + "\n".join(rows))
    report = prepare(tmp_path / "r.csv", tmp_path / "store", PrepareOptions(source="ratings"))
    store = Store(tmp_path / "store")
    assert store.strength.tolist() == [0, 0, 1, 2, 3, 3, 0, 3]
    assert store.offsets.tolist() == [0, 5, 7, 8], "a gap of exactly 20 minutes does not cut, one second more does"
    assert store.side("user").tolist() == [0, 1, 1]
    assert report.tied_share == 5 / 8


def test_ratings_are_cut_by_length(tmp_path: Path) -> None:
    rows = [f"u\t{i}\t5\t{i}" for i in range(45)]
    (tmp_path / "r.inter").write_text("user\titem\trating\ttimestamp\n" + "\n".join(rows) + "\n")
    report = prepare(tmp_path / "r.inter", tmp_path / "store", PrepareOptions(source="ratings"))
    assert np.diff(Store(tmp_path / "store").offsets).tolist() == [20, 20, 5]
    assert report.sessions == 3


def test_ratings_of_another_scale_are_refused_with_the_range_seen(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating,timestamp\nu,1,5,0\nu,2,9,1\nu,3,1,2\n")
    with pytest.raises(InputError, match=r"ratings go from 1 to 9, not from 0\.5 to 5"):
        prepare(tmp_path / "r.csv", tmp_path / "store", PrepareOptions(source="ratings"))
    assert not (tmp_path / "store").exists()


def test_a_rating_that_cannot_be_used_is_rejected_with_line_column_and_value(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating,timestamp\nu,1,5,0\nu,,3,2\nu,4,3,soon\nu,5,3,\n")
    report = prepare(tmp_path / "r.csv", tmp_path / "store", PrepareOptions(source="ratings", max_rejected=1.0))
    assert report.rejected == {"missing-track": 1, "missing-time": 1, "wrong-time": 1}
    lines = (tmp_path / "store.rejected.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["r.csv", "3", "missing-track"],
        ["r.csv", "5", "missing-time"],
        ["r.csv", "4", "wrong-time"],
    ]
    with pytest.raises(InputError, match=r"timestamp is 'soon'; accepted: .*2023-10-29"):
        prepare(tmp_path / "r.csv", tmp_path / "store", PrepareOptions(source="ratings", overwrite=True))


def test_a_track_table_is_joined_to_the_vocabulary(tmp_path: Path) -> None:
    pl.DataFrame({"track_id": ["7", "zz"], "title": ["Seven", "None"], "tempo": [120, 1]}).write_csv(tmp_path / "t.csv")
    prepare(pl.DataFrame(EVENTS), tmp_path / "store", PrepareOptions(source="table", tracks=tmp_path / "t.csv"))
    store = Store(tmp_path / "store")
    titles = store.track_text("title")
    assert titles is not None
    assert {store.vocabulary.text(i): titles.text(i) for i in range(3)} == {"007": "", "7": "Seven", "x,y": ""}
    assert store.manifest.feature_names == ("tempo",)


@pytest.mark.parametrize("source", ["auto", "table", "ratings", "spotify"])
def test_a_log_of_no_files_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(InputError, match="name the files of the log"):
        prepare([], tmp_path / "store", PrepareOptions(source=source))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["ratings", "spotify", "auto"])
def test_columns_are_named_for_tables_alone(tmp_path: Path, source: str) -> None:
    (tmp_path / "log.csv").write_text("session,track\ns,a\n")
    with pytest.raises(InputError, match="has its own columns"):
        prepare(
            tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source=source, columns=TableColumns(track="a"))
        )


def test_a_frame_is_a_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"session": ["s", "s"], "track": ["a", "b"]})
    assert prepare(frame, tmp_path / "store").rows == 2
