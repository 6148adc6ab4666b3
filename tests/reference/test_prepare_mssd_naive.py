"""A store equals a naive grouping of the log, whatever the order of its rows."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from segue.data import ahead, assembly, gathered
from segue.data.records import delimited
from segue.data.rejects import reject_path
from segue.hashing import pack_text, session_keys
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.prepared_logs import csv_text, mssd_row, plain, random_rows, write_log


def naive(rows: list[dict[str, str]]) -> dict[int, list[tuple[str, int]]]:
    sessions: dict[str, list[tuple[int, str, int]]] = {}
    for row in rows:
        strength = 255
        if row["not_skipped"] == "true":
            strength = 0
        for value, flag in ((1, "skip_3"), (2, "skip_2"), (3, "skip_1")):
            strength = value if row[flag] == "true" else strength
        event = (int(row["session_position"]), row["track_id_clean"], strength)
        sessions.setdefault(row["session_id"], []).append(event)
    keys = session_keys(*pack_text(list(sessions))).tolist()
    return {k: [(t, s) for _, t, s in sorted(events)] for k, events in zip(keys, sessions.values(), strict=True)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_store_equals_naive_grouping_in_any_row_order(tmp_path: Path, seed: int, shuffled: bool) -> None:
    rows = random_rows(seed)
    if shuffled:
        random.Random(seed).shuffle(rows)
    report = prepare(write_log(tmp_path / "log.csv", rows), tmp_path / "store", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == naive(rows)
    assert report.rejected == {}
    assert report.rows == len(rows)


def test_rows_interleaved_give_the_bytes_of_the_contiguous_log(tmp_path: Path) -> None:
    rows = random_rows(7)
    heads = [row for row in rows if row["session_position"] == "1"]
    tails = [row for row in rows if row["session_position"] != "1"]
    random.Random(0).shuffle(tails)
    one = prepare(write_log(tmp_path / "a.csv", rows), tmp_path / "one", PrepareOptions(source="mssd"))
    two = prepare(write_log(tmp_path / "b.csv", heads + tails), tmp_path / "two", PrepareOptions(source="mssd"))
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("file_sizes", [(60,), (25, 1, 40)])
def test_shuffled_rows_over_many_blocks_and_files_equal_naive_grouping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_sizes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 700)
    everything = []
    for number, sessions in enumerate(file_sizes):
        rows = random_rows(number, sessions)
        random.Random(number).shuffle(rows)
        write_log(tmp_path / f"log_{number}.csv", rows)
        everything += rows
    prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == naive(everything)


def test_positions_far_apart_are_sorted_too(tmp_path: Path) -> None:
    rows = random_rows(5)
    for row in rows:
        row["session_position"] = str(int(row["session_position"]) * 3_000_000 - 7_000_000)
    random.Random(5).shuffle(rows)
    prepare(write_log(tmp_path / "log.csv", rows), tmp_path / "store", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == naive(rows)


def test_threads_do_not_move_a_byte_nor_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "training_set"
    logs.mkdir()
    for number in range(5):
        rows = random_rows(number, 30)
        rows[number * 7]["track_id_clean"] = ""
        rows[number * 9 + 3]["hour_of_day"] = "soon"
        random.Random(number).shuffle(rows)
        write_log(logs / f"log_{number}.csv", rows)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 900)
    seen = set()
    for threads, waiting in ((1, 1), (2, 4), (8, 20)):
        monkeypatch.setattr(ahead, "THREADS", threads)
        monkeypatch.setattr(ahead, "WAITING", waiting)
        report = prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd", max_rejected=1.0, overwrite=True))
        seen.add((report.fingerprint, reject_path(tmp_path / "store").read_text()))
    assert report.rejected == {"missing-track": 5, "wrong-column": 5}
    assert len(seen) == 1


def test_gzip_small_blocks_and_crlf_give_the_bytes_of_the_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(3)
    one = prepare(write_log(tmp_path / "a.csv", rows), tmp_path / "one", PrepareOptions(source="mssd"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv_text(rows).encode()))
    (tmp_path / "crlf.csv").write_bytes(csv_text(rows).replace("\n", "\r\n").encode())
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 300)
    for name in ("a.csv.gz", "a.csv", "crlf.csv"):
        other = prepare(tmp_path / name, tmp_path / "two", PrepareOptions(source="mssd", overwrite=True))
        assert other.fingerprint == one.fingerprint, name


def test_files_are_laid_end_to_end_with_one_vocabulary(tmp_path: Path) -> None:
    logs = tmp_path / "training_set"
    logs.mkdir()
    first, second = random_rows(1), random_rows(2)
    write_log(logs / "log_0_20180715_000000000000.csv", first)
    write_log(logs / "log_1_20180716_000000000000.csv", second)
    prepare(tmp_path, tmp_path / "store", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == naive(first + second)
    store = Store(tmp_path / "store")
    ids = [store.vocabulary.raw(i) for i in range(store.num_tracks)]
    assert ids == sorted(set(ids)), "UTF-8 byte order"
    column = store.side_column("context_type")
    assert column is not None
    assert list(column.categories) == sorted(column.categories)


def _small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a log of more than 20 rows be large, blocks hold some 4 rows, scratch files some 10."""
    monkeypatch.setattr(gathered, "MOST_IN_MEMORY", 10)
    monkeypatch.setattr(assembly, "MOST_IN_MEMORY", 10)
    monkeypatch.setattr(gathered, "CHUNK_ROWS", 10)
    monkeypatch.setattr(gathered, "PART_ROWS", 20)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 700)


@pytest.mark.parametrize("order", ["as written", "shuffled", "one row at the end"])
def test_a_log_too_large_for_memory_gives_the_bytes_of_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    everything = []
    for number, sessions in enumerate((70, 3, 90)):
        rows = random_rows(number, sessions)
        if order == "shuffled":
            random.Random(number).shuffle(rows)
        if order == "one row at the end":
            rows.append(rows.pop(4))
        write_log(tmp_path / f"log_{number}.csv", rows)
        everything += rows
    whole = prepare(tmp_path, tmp_path / "whole", PrepareOptions(source="mssd"))
    _small_memory(monkeypatch)
    spilled = prepare(tmp_path, tmp_path / "spilled", PrepareOptions(source="mssd"))
    assert spilled.fingerprint == whole.fingerprint
    assert plain(tmp_path / "spilled") == naive(everything)
    files = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*.npy")}
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "spilled" / file).read_bytes(), file
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("log_")) == ["spilled", "whole"]


def test_a_session_longer_than_a_part_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [mssd_row("long", position, "t", 3) for position in range(1, 150)] + random_rows(1)
    _small_memory(monkeypatch)
    prepare(write_log(tmp_path / "log.csv", rows), tmp_path / "store", PrepareOptions(source="mssd"))
    assert plain(tmp_path / "store") == naive(rows)


def test_rejects_of_a_log_too_large_for_memory_name_line_session_and_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(2, 60)
    rows.insert(9, mssd_row("", 1, "t"))
    rows += [dict(rows[30]), mssd_row(rows[0]["session_id"], 1, "again")]
    write_log(tmp_path / "log_0.csv", rows)
    write_log(tmp_path / "log_1.csv", [rows[50], *random_rows(3, 60)])
    whole = prepare(tmp_path, tmp_path / "whole", PrepareOptions(source="mssd", max_rejected=1.0))
    _small_memory(monkeypatch)
    spilled = prepare(tmp_path, tmp_path / "spilled", PrepareOptions(source="mssd", max_rejected=1.0))
    assert whole.rejected == {"missing-session": 1, "duplicate-position": 3}
    assert (spilled.rejected, spilled.fingerprint) == (whole.rejected, whole.fingerprint)
    one, other = (reject_path(tmp_path / name).read_text().splitlines() for name in ("whole", "spilled"))
    assert sorted(one) == sorted(other)
    assert one[-1].startswith("log_1.csv,2,duplicate-position,")
    assert f'log_0.csv,{len(rows) + 1},duplicate-position,"{rows[0]["session_id"]},1,again"' in one
