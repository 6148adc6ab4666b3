"""The command line names every source, reads several files, and ends with the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.cli.main import main
from segue.data.sources import TITLES
from segue.store import Store
from support.exports import spotify_account


def test_every_source_is_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources"]) == 0
    listed = capsys.readouterr().out
    for name in TITLES:
        assert f"\n{name} " in f"\n{listed}"
        assert main(["sources", "show", name]) == 0
        assert TITLES[name] in capsys.readouterr().out
    assert main(["sources", "show", "spotfy"]) == 2
    assert "did you mean 'spotify'" in capsys.readouterr().err


def test_prepare_lists_every_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in TITLES)


def test_an_export_is_recognised_and_speaks_of_its_titles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").mkdir()
    path = spotify_account.write(tmp_path / "log")
    assert main(["prepare", "auto", str(path), str(tmp_path / "store"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert "Spotify" in shown["recognised"]
    assert shown["rows"] == len(spotify_account.PLAYS)
    assert Store(tmp_path / "store").track_text("title") is not None


def test_several_files_are_one_log_whatever_the_order_of_their_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a[1].csv").write_text("user,time,track\nu,1700000000,t1\nu,1700000400,t3\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("track;user;time\nt2;u;1700000200\n", encoding="utf-8")
    files = [str(tmp_path / "a[1].csv"), str(tmp_path / "b.csv")]
    assert main(["prepare", "table", *files, str(tmp_path / "store")]) == 0
    store = Store(tmp_path / "store")
    assert [store.vocabulary.track_id(row) for row in store.tracks.tolist()] == ["t1", "t2", "t3"]
    capsys.readouterr()
    assert main(["prepare", "table", files[0]]) == 2
    assert "then the store" in capsys.readouterr().err


def test_a_header_in_the_middle_is_no_play(tmp_path: Path) -> None:
    text = "user,time,track\nu,1700000000,t1\nuser,time,track\nu,1700000200,t2\n"
    (tmp_path / "joined.csv").write_text(text, encoding="utf-8")
    assert main(["prepare", "table", str(tmp_path / "joined.csv"), str(tmp_path / "store")]) == 0
    assert Store(tmp_path / "store").num_rows == 2
