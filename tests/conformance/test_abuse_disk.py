"""Every source on a disk without room or rights, killed at any moment, and with a history of a million plays."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segue.cli.main import main
from segue.data.sources import TITLES
from segue.errors import FormatError
from segue.store import Store
from support.exports.every import smallest
from support.reshaped import num_records, with_records

SMALLEST = {name: smallest(name) for name in TITLES if name != "kkbox"}
NOBODY = 65_534
KILLED = Path(__file__).parents[1] / "support" / "killed_preparing.py"


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_rights() -> Iterator[None]:
    """Act as a user whom nothing belongs to, where the tests are run by root."""
    if os.getuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that everyone may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def command(name: str, log: Path, store: Path, *options: str) -> int:
    """Return the exit code of `segue prepare NAME LOG STORE`."""
    return main(["prepare", name, str(log), str(store), "--max-rejected", "0.9", *options])


def written(name: str, folder: Path) -> Path:
    """Return a source's export, written into `folder`."""
    path = folder / SMALLEST[name].name
    path.write_bytes(SMALLEST[name].data)
    return path


def left(folder: Path) -> set[str]:
    """Return the names below a folder but that of the log and of the rejected rows."""
    logs = {original.name for original in SMALLEST.values()} | {"store.rejected.csv"}
    return {path.name for path in folder.iterdir()} - logs


@pytest.mark.parametrize("name", SMALLEST)
def test_a_log_that_may_not_be_read_is_refused_by_name(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(name, folder)
    log.chmod(0)
    with without_rights():
        code = command(name, log, folder / "store")
    assert (code, left(folder)) == (2, set())
    assert log.name in (said := capsys.readouterr().err)
    assert "Permission denied" in said


@pytest.mark.parametrize("name", ["table", "spotify", "yambda"])
def test_a_folder_that_may_not_be_written_is_named(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(name, folder)
    folder.chmod(0o555)
    with without_rights():
        code = command(name, log, folder / "store")
    folder.chmod(0o777)
    assert (code, left(folder)) == (1, set())
    assert str(folder) in (said := capsys.readouterr().err)
    assert "ermission" in said


LIMITS = [
    *((name, 300) for name in SMALLEST),
    ("table", 600),
    ("table", 60),
]
"""Source, and the bytes that a file may have: less than an array of the store, its manifest, or what is spilled."""


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_a_full_disk_is_said_and_leaves_what_was_there(
    name: str, limit: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, store = written(name, tmp_path), tmp_path / "store"
    with file_limit(limit):
        assert command(name, log, store) == 1
    assert left(tmp_path) == set()
    assert str(store) in (said := capsys.readouterr().err)
    assert "free some space" in said
    assert command(name, log, store) == 0
    before = Store(store).manifest.fingerprint
    with file_limit(limit):
        assert command(name, log, store, "--overwrite") == 1
    assert left(tmp_path) == {"store"}
    Store(store).verify()
    assert Store(store).manifest.fingerprint == before


def test_no_room_to_unpack_a_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "navidrome.db"
    log.write_bytes(gzip.compress(SMALLEST["navidrome"].data))
    with file_limit(4096):
        assert command("navidrome", log, tmp_path / "store") == 1
    assert "set TMPDIR" in capsys.readouterr().err
    assert left(tmp_path) == set()


def test_a_preparing_killed_at_any_moment_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    fewer = with_records(SMALLEST["table"], range(num_records(SMALLEST["table"]) - 1))
    (old / "plays.csv").write_bytes(fewer.data)
    log, root = written("table", new), tmp_path / "killed"
    root.mkdir()
    program = [sys.executable, str(KILLED), str(old / "plays.csv"), str(log), str(root), "3"]
    subprocess.run(program, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120)
    fingerprints = set()
    for place in root.iterdir():
        for scratch in place.glob(".store.*"):
            assert not _is_half(scratch)
        if not place.name.startswith("timed"):  # one killed at any time may not have come to its first store
            assert (place / "store").is_dir()
        if (place / "store").exists():
            Store(place / "store").verify()
            fingerprints.add(Store(place / "store").manifest.fingerprint)
        assert command("table", log, place / "store", "--overwrite") == 0
        Store(place / "store").verify()
    assert len(fingerprints) == 2


def _is_half(folder: Path) -> bool:
    """Return whether a folder passes for a store and is not whole."""
    try:
        Store(folder).verify()
    except FormatError:
        return (folder / "manifest.json").exists()
    return False


MILLION = r"""
import json, re, sys, time
from pathlib import Path
from segue.data.cutting import Cutting
from segue.verbs.prepare import PrepareOptions, prepare
name, log, store = sys.argv[1:]
begun = time.monotonic()
if name == "table":
    report = prepare(log, store, PrepareOptions(source="table"))
else:
    cutting = Cutting(max_length=10**6, gap_minutes=10**6)
    report = prepare(log, store, PrepareOptions(source=name, cutting=cutting))
facts = {"rows": report.rows, "sessions": report.sessions, "seconds": time.monotonic() - begun}
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss counts the parent, too
print(json.dumps(facts | {"bytes": int(peak[1]) * 1024}))
"""


def _million(name: str) -> str:
    """Return a log of one session or history of a million plays."""
    if name == "table":
        return "session,track\n" + "".join(f"s,t{play % 1000}\n" for play in range(10**6))
    rows = (f"a,b,t{play % 1000},{1_600_000_000 + play * 60}\n" for play in range(10**6))
    return "artist,album,track,uts,track_mbid\n" + "".join(row[:-1] + ",\n" for row in rows)


@pytest.mark.parametrize("name", ["table", "lastfm"])
def test_a_session_of_a_million_plays_takes_seconds_and_bounded_memory(name: str, tmp_path: Path) -> None:
    log = tmp_path / "recenttracks-someone.csv"
    log.write_text(_million(name), encoding="utf-8")
    program = [sys.executable, "-c", MILLION, name, str(log), str(tmp_path / "store")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(program, check=True, env=environment, timeout=120, capture_output=True, text=True)
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["sessions"]) == (10**6, 1)
    assert facts["seconds"] < 30
    assert facts["bytes"] < 1 << 30
