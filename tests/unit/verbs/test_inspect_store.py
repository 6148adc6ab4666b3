"""What inspect says equals a count by hand."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from segue.errors import InputError
from segue.verbs.inspect import InspectOptions, inspect
from segue.verbs.prepare import PrepareOptions, prepare


def prepared(tmp_path: Path) -> Path:
    tracks = ["a", "b", "a", "c", "b", "a", "z", "c"]
    frame = pl.DataFrame({"session": [*"sssss", *"ttt"], "track": tracks, "strength": [0, 3, 2, 1, 255, 3, 3, 0]})
    prepare(frame, tmp_path / "store", PrepareOptions(source="table"))
    return tmp_path / "store"


def test_inspect_counts_by_hand(tmp_path: Path) -> None:
    found = inspect(prepared(tmp_path))
    assert (found["sessions"], found["rows"], found["tracks"], found["schema_version"]) == (2, 8, 4, 1)
    assert found["lengths"] == {"3": 1, "5": 1}
    assert found["skip_rate"] == 4 / 7
    assert found["strengths"]["unknown"] == 1 / 8
    assert found["skip_rate_by_position"][1] == {"position": 2, "rows": 2, "skip_rate": 1.0}
    assert found["skip_rate_by_position"][4]["skip_rate"] is None
    assert found["unseen_test_targets"] == {"targets": 2, "unseen": 1, "share": 0.5}
    assert found["popularity"]["top_share"]["1"] == 3 / 8
    assert found["simulated"] is False
    assert json.loads(json.dumps(found)) == found


def test_the_figure_is_written_whole_or_refused(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    inspect(store, InspectOptions(tmp_path / "figure.png"))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"\.png"):
        inspect(store, InspectOptions(tmp_path / "figure.exe"))
