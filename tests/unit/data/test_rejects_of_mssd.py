"""Every kind of bad row is counted once, with its line, and no sound row is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from segue.data.rejects import reject_path
from segue.errors import InputError, RejectedRowsError
from segue.verbs.prepare import PrepareOptions, prepare
from support.prepared_logs import csv_text, mssd_row, plain, random_rows, write_log

BAD = {
    "missing-session": mssd_row("", 9, "t"),
    "missing-track": mssd_row("x", 9, ""),
    "missing-position": mssd_row("x", 9, "t", session_position=""),
    "wrong-flag": mssd_row("x", 9, "t", skip_2="maybe"),
    "contradictory-flags": mssd_row("x", 9, "t", skip_1="true"),
    "wrong-column": mssd_row("x", 9, "t", hour_of_day="29"),
}
UNREADABLE = {"hour_of_day": "1 ", "date": "15-07-2018", "context_type": "", "premium": "yes"}


def rejected(store: Path) -> list[tuple[int, str]]:
    with reject_path(store).open(encoding="utf-8", newline="") as handle:
        return [(int(row["line"]), row["kind"]) for row in csv.DictReader(handle)]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_counted_by_kind_and_line(tmp_path: Path, kind: str) -> None:
    rows = random_rows(0)
    log = write_log(tmp_path / "log.csv", [*rows[:4], BAD[kind], *rows[4:]])
    report = prepare(log, tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert report.rejected == {kind: 1}
    assert rejected(tmp_path / "store") == [(6, kind)]
    prepare(write_log(tmp_path / "clean.csv", rows), tmp_path / "clean", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == plain(tmp_path / "clean")


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_kept_whole_with_the_columns_that_are_not_read(tmp_path: Path, kind: str) -> None:
    rows = random_rows(0)
    log = write_log(tmp_path / "log.csv", [*rows[:4], BAD[kind], *rows[4:7], BAD[kind], *rows[7:]])
    lines = log.read_text(encoding="utf-8").splitlines()
    log.write_text("\n".join([lines[0], lines[1], lines[0], *lines[2:]]) + "\n")  # a header again, which is left out
    prepare(log, tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    with (tmp_path / "store.rejected.csv").open(newline="", encoding="utf-8") as handle:
        assert [row["row"] for row in csv.DictReader(handle)] == [lines[5], lines[9]]


@pytest.mark.parametrize("column", UNREADABLE)
def test_what_polars_might_read_leniently_is_a_wrong_column(tmp_path: Path, column: str) -> None:
    rows = random_rows(0)
    bad = mssd_row("x", 9, "t") | {column: UNREADABLE[column]}
    prepare(
        write_log(tmp_path / "log.csv", [*rows[:4], bad, *rows[4:]]),
        tmp_path / "store",
        PrepareOptions(source="mssd", max_rejected=1.0),
    )
    assert rejected(tmp_path / "store") == [(6, "wrong-column")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (",".join(mssd_row("x", 9, "t").values()) + ",surplus", "wrong-field-count"),
        ("x,9,20,t", "wrong-field-count"),
        ('"x,9,20,t', "unclosed-quote"),
    ],
)
def test_a_ragged_line_costs_itself_alone(tmp_path: Path, line: str, kind: str) -> None:
    lines = csv_text(random_rows(0)).splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*lines[:5], line, *lines[5:]]) + "\n", encoding="utf-8")
    report = prepare(tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert report.rejected == {kind: 1}
    assert rejected(tmp_path / "store") == [(6, kind)]
    assert report.rows == len(lines) - 1


def test_a_surplus_field_is_seen_where_another_line_lacks_one(tmp_path: Path) -> None:
    lines = csv_text(random_rows(0)).splitlines()
    lines[3] += ",surplus"
    lines[5] = lines[5].rpartition(",")[0]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    prepare(tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert rejected(tmp_path / "store") == [(4, "wrong-field-count"), (6, "wrong-field-count")]


@pytest.mark.parametrize("cut", [30, 60])
def test_a_cut_last_line_is_a_truncated_last_line(tmp_path: Path, cut: int) -> None:
    text = csv_text(random_rows(0)).rstrip("\n")
    (tmp_path / "log.csv").write_text(text[:-cut], encoding="utf-8")
    report = prepare(tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert report.rejected == {"truncated-last-line": 1}
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    whole = prepare(
        tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd", max_rejected=0.0, overwrite=True)
    )
    assert whole.rows == report.rows + 1


def test_bytes_that_are_no_utf8_cost_their_line_alone(tmp_path: Path) -> None:
    rows = random_rows(0)
    data = csv_text([*rows[:4], mssd_row("x", 9, "t_@"), *rows[4:]]).encode().replace(b"t_@", b"t_\xff")
    (tmp_path / "log.csv").write_bytes(data)
    report = prepare(tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert report.rejected == {"not-utf8": 1}
    assert report.rows == len(rows)


def test_of_a_duplicate_position_the_earlier_line_stays(tmp_path: Path) -> None:
    rows = [mssd_row("s", 1, "a"), mssd_row("s", 2, "b"), mssd_row("s", 2, "c"), mssd_row("s", 3, "d")]
    report = prepare(
        write_log(tmp_path / "log.csv", rows), tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0)
    )
    assert report.rejected == {"duplicate-position": 1}
    assert rejected(tmp_path / "store") == [(4, "duplicate-position")]
    assert [track for track, _ in next(iter(plain(tmp_path / "store").values()))] == ["a", "b", "d"]


def test_a_session_may_go_on_in_another_file(tmp_path: Path) -> None:
    write_log(tmp_path / "log_0.csv", [mssd_row("s", 2, "b"), mssd_row("u", 1, "a")])
    write_log(tmp_path / "log_1.csv", [mssd_row("s", 1, "a"), mssd_row("v", 1, "a"), mssd_row("s", 2, "c")])
    report = prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0))
    assert report.rejected == {"duplicate-position": 1}
    assert (report.rows_read, report.rows, report.tracks) == (5, 4, 2)
    assert list(plain(tmp_path / "store").values()) == [[("a", 0), ("b", 0)], [("a", 0)], [("a", 0)]]


def test_a_refused_run_leaves_its_rejects_and_no_store(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", [*random_rows(0), mssd_row("=1+1", 1, "")])
    with pytest.raises(RejectedRowsError, match=r"missing-track.*--max-rejected"):
        prepare(log, tmp_path / "store", PrepareOptions(source="mssd"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "store.rejected.csv"]
    assert "'=1+1" in reject_path(tmp_path / "store").read_text()


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", random_rows(0))

    def interrupt(step: object) -> None:
        if getattr(step, "done", 0) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(log, tmp_path / "store", PrepareOptions(source="mssd"), progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_a_missing_column_is_named_with_its_nearest(tmp_path: Path) -> None:
    text = csv_text(random_rows(0)).replace("track_id_clean", "track_id_clear", 1)
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"'track_id_clean'; did you mean 'track_id_clear'"):
        prepare(tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="mssd"))
