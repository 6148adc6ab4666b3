"""A track table is read in any dialect that a log is read in, and joins by the ids that the log has."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from segue.data.track_tables import join_tracks
from segue.errors import InputError

TRACKS = pl.Series(["7", "8", "9"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("comma.csv", "track_id,title,duration\n7,Seven,200.5\n8,Eight,100\n"),
        ("semicolon.csv", "track_id;title;duration\n7;Seven;200,5\n8;Eight;100\n"),
        ("tab.tsv", "Track_ID\tTitle\tDuration\n7\tSeven\t200.5\n8\tEight\t100\n"),
        ("camel.csv", "trackId,title,duration\r\n7,Seven,200.5\r\n8,Eight,100\r\n"),
        ("floats.csv", "track_id,title,duration\n7.0,Seven,200.5\n8.0,Eight,100\n"),
        ("quoted.csv", 'track_id,title,duration\n"7","Seven","200.5"\n"8","Eight","100"\n'),
        ("ms.csv", "track_id,track_name,duration_ms\n7,Seven,200500\n8,Eight,100000\n"),
        ("unsaid-ms.csv", "track_id,title,duration\n7,Seven,200500\n8,Eight,100000\n"),
    ],
)
def test_a_track_table_of_any_dialect_says_the_same(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    joined = join_tracks([tmp_path / name], TRACKS)
    assert joined.table.title == ["Seven", "Eight", ""]
    assert joined.table.duration is not None
    assert joined.table.duration[:2].tolist() == [200.5, 100.0]
    assert joined.num_named == 2


def test_whole_floats_of_parquet_join_integers(tmp_path: Path) -> None:
    pl.DataFrame({"track": [7.0, None, 9.0], "title": ["a", "b", "c"]}).write_parquet(tmp_path / "t.parquet")
    joined = join_tracks([tmp_path / "t.parquet"], TRACKS)
    assert joined.table.title == ["a", "", "c"]


def test_the_first_of_two_rows_counts_and_later_files_add_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("track,title\n7,first\n7,second\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("track,energy\n7,.5\n8,1\n", encoding="utf-8")
    joined = join_tracks([tmp_path / "a.csv", tmp_path / "b.csv"], TRACKS)
    assert joined.table.title == ["first", "", ""]
    assert joined.table.feature_names == ("energy",)
    assert joined.num_named == 2


def test_albums_are_text_and_no_feature(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("track,album_name,energy\n7,1989,.5\n8,,1\n", encoding="utf-8")
    table = join_tracks([tmp_path / "a.csv"], TRACKS).table
    assert table.album == ["1989", "", ""]
    assert table.feature_names == ("energy",)


@pytest.mark.parametrize(
    ("text", "told"),
    [("name,title\n7,Seven\n", "no track id column"), ("track_id,title\n7,Seven,more,fields\n8,Eight\n", "line 2")],
)
def test_what_cannot_be_joined_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        join_tracks([tmp_path / "t.csv"], TRACKS)
