"""What looks wrong in a log is said with its cause and what mends it; what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segue.data.cutting import Cutting
from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare

START = 1_700_000_000


def log_of(rows: list[tuple[Any, ...]], *names: str) -> pl.DataFrame:
    """Return a log with the columns named, the rest as they are usual."""
    return pl.DataFrame(rows, schema=list(names), orient="row", strict=False)


def plays(count: int = 12, step: int = 200) -> list[tuple[str, int, str, bool]]:
    return [("u", START + step * i, f"t{i % 5}", i % 3 == 0) for i in range(count)]


NAMES = ("user", "time", "track", "skipped")


def warned(tmp_path: Path, frame: pl.DataFrame, **options: Any) -> str:
    return " ".join(
        prepare(frame, tmp_path / "store", PrepareOptions(source="table", overwrite=True, **options)).warnings
    )


def test_a_sound_log_is_not_doubted(tmp_path: Path) -> None:
    assert warned(tmp_path, log_of(plays(), *NAMES)) == ""


def test_exact_duplicates_are_counted_and_dropped_when_asked(tmp_path: Path) -> None:
    frame = log_of([*plays(), *plays(4)], *NAMES)
    assert "4 of 16 plays occur twice" in warned(tmp_path, frame)
    report = prepare(
        frame, tmp_path / "store", PrepareOptions(source="table", overwrite=True, cutting=Cutting(drop_duplicates=True))
    )
    assert (report.rows, report.left_out, report.warnings) == (12, {"duplicate": 4}, ())


def test_two_logs_of_the_same_plays_are_noticed(tmp_path: Path) -> None:
    twice = sorted([*plays(), *[(u, at + 1, track, skipped) for u, at, track, skipped in plays()]], key=lambda r: r[1])
    assert "within 5 s" in warned(tmp_path, log_of(twice, *NAMES))


def test_plays_in_milliseconds_beside_a_length_in_seconds_are_refused(tmp_path: Path) -> None:
    rows = [("u", START + 200 * i, f"t{i}", 180_000, 200) for i in range(12)]
    frame = log_of(rows, "user", "time", "track", "played", "duration")
    with pytest.raises(InputError, match=r"different units.*--accept shares"):
        prepare(frame, tmp_path / "store", PrepareOptions(source="table"))
    assert not (tmp_path / "store").exists()
    assert (
        prepare(frame, tmp_path / "store", PrepareOptions(source="table", cutting=Cutting(accept=("shares",)))).rows
        == 12
    )


def test_whole_days_of_a_spreadsheet_are_no_seconds_of_1970(tmp_path: Path) -> None:
    days = [(user, 45_259 + day, f"t{day}", False) for user in "uv" for day in range(6)]
    with pytest.raises(InputError, match=r"between 32874 and 55154: are they days of a spreadsheet\?.*--accept years"):
        prepare(log_of(days, *NAMES), tmp_path / "store", PrepareOptions(source="table"))
    clock = [(user, 30_000 + 200 * play, f"t{play}", False) for user in "uv" for play in range(60)]
    assert "is the unit of the times wrong?" in warned(tmp_path, log_of(clock, *NAMES))


def test_times_far_ahead_are_refused_and_times_from_0_are_said(tmp_path: Path) -> None:
    ahead = log_of([(u, at * 50, track, skipped) for u, at, track, skipped in plays()], *NAMES)
    with pytest.raises(InputError, match="outside of 1990"):
        prepare(ahead, tmp_path / "store", PrepareOptions(source="table"))
    assert "years" in warned(tmp_path, log_of([(u, at - START, t, s) for u, at, t, s in plays()], *NAMES))


def test_sessions_of_one_play_are_said(tmp_path: Path) -> None:
    assert "--gap-minutes" in warned(tmp_path, log_of(plays(30, 9000), *NAMES))


def test_ids_that_look_alike_are_said(tmp_path: Path) -> None:
    rows = [*plays(), ("u ", START, "Jo\u0301ga", True), ("u", START + 9000, "J\u00f3ga", False)]
    said = warned(tmp_path, log_of(rows, *NAMES))
    assert "listeners-alike" in said
    assert "tracks-alike" in said


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "null", None])
def test_a_missing_id_is_missing_and_007_stays(tmp_path: Path, missing: str | None) -> None:
    rows = [("u", START, "007", True), ("u", START + 9, missing, True), ("u", START + 20, "7", False)]
    report = prepare(log_of(rows, *NAMES), tmp_path / "store", PrepareOptions(source="table", max_rejected=0.5))
    store = Store(tmp_path / "store")
    assert report.rejected == {"missing-track": 1}
    assert [store.vocabulary.track_id(row) for row in store.tracks.tolist()] == ["007", "7"]


def test_a_session_is_one_of_its_listener(tmp_path: Path) -> None:
    rows = [(user, "1", f"t{i}", True) for i in range(3) for user in ("a", "b")]
    report = prepare(
        log_of(rows, "user", "session", "track", "skipped"), tmp_path / "store", PrepareOptions(source="table")
    )
    assert report.sessions == 2


def test_a_flag_that_is_none_names_column_and_value(tmp_path: Path) -> None:
    frame = log_of([(*row[:3], "maybe") for row in plays()], *NAMES)
    with pytest.raises(InputError, match=r"skipped is 'maybe'; accepted: true or false"):
        prepare(frame, tmp_path / "store", PrepareOptions(source="table"))


def test_a_log_of_a_known_source_is_told_its_verb(tmp_path: Path) -> None:
    frame = pl.DataFrame({"endTime": ["2021-09-30 12:28"], "artistName": ["B"], "trackName": ["A"], "msPlayed": [500]})
    with pytest.raises(InputError, match="segue prepare spotify-account reads it"):
        prepare(frame, tmp_path / "store", PrepareOptions(source="table", columns=TableColumns()))
