"""What is SQLite's own of live sessions: the file, its log, a full disk, a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segue.errors import FormatError
from segue.serving.sessions.sqlite import SqliteSessions, stored_sessions
from segue.serving.sessions.store import FullStoreError, Logged, NoSessionError, ReadOnlyStoreError, new_session_id


def _event(track: str, event_id: str | None = None, strength: int = 0) -> Logged:
    return Logged(track, strength, 1.5, event_id)


def test_a_session_that_is_over_stays_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = SqliteSessions(tmp_path / "s.sqlite", expires_s=60.0)
    session = new_session_id()
    sessions.create(session, "", [_event("a"), _event("b")]).result()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61.0)
    with pytest.raises(NoSessionError):
        sessions.read(session).result()
    sessions.close()
    assert [len(each.events) for each in stored_sessions(tmp_path / "s.sqlite")] == [2]


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    SqliteSessions(tmp_path / "s.sqlite").close()
    assert (tmp_path / "s.sqlite").stat().st_mode & 0o077 == 0, "nobody else's business"


def test_a_fault_in_one_job_leaves_the_others(tmp_path: Path) -> None:
    sessions, session = SqliteSessions(tmp_path / "s.sqlite"), new_session_id()
    sessions.create(session, "", [_event("a")]).result()
    bad, good = sessions.add(session, [_event("b"), _event("c", strength=2**70)]), sessions.add(session, [_event("d")])
    with pytest.raises(OverflowError):
        bad.result()
    assert good.result().events == 2
    assert [event.track for event in sessions.read(session).result().events] == ["a", "d"]
    sessions.close()


def test_a_full_disk_is_told_and_reads_go_on(tmp_path: Path) -> None:
    sessions = SqliteSessions(tmp_path / "s.sqlite")
    session = new_session_id()
    sessions.create(session, "", [_event("a")]).result()
    pages = sessions._connection.execute("PRAGMA page_count").fetchone()[0]
    sessions._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    told = [sessions.add(session, [_event("x" * 500, str(place))]) for place in range(100)]
    full = [place for place, future in enumerate(told) if isinstance(future.exception(), FullStoreError)]
    accepted = 1 + len(told) - len(full)
    assert full
    with pytest.raises(FullStoreError, match="disk is full"):
        told[full[0]].result()
    assert len(sessions.read(session).result().events) == accepted
    sessions._connection.execute("PRAGMA max_page_count = 100000")
    assert sessions.add(session, [_event("b")]).result().events == accepted + 1, "as soon as there is room again"
    sessions.close()


def test_a_store_that_may_not_be_written_is_told_and_reads_go_on(tmp_path: Path) -> None:
    sessions = SqliteSessions(tmp_path / "s.sqlite")
    session = new_session_id()
    sessions.create(session, "", [_event("a")]).result()
    sessions._connection.execute("PRAGMA query_only = 1")
    for what in (sessions.add(session, [_event("b")]), sessions.create(new_session_id(), "", [])):
        with pytest.raises(ReadOnlyStoreError, match="can be read"):
            what.result()
    assert len(sessions.read(session).result().events) == 1
    sessions.close()


def test_other_files_are_no_store(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no store of anything, only words\n" * 100)
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE cats (name TEXT)").connection.close()
    for name in ("text", "other.sqlite"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(FormatError, match="not a store of sessions"):
            SqliteSessions(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(FormatError, match="is missing"):
        list(stored_sessions(tmp_path / "nothing"))


_TELLER = """
import sys
from pathlib import Path
from segue.serving.sessions.sqlite import SqliteSessions
from segue.serving.sessions.store import Logged
sessions = SqliteSessions(Path(sys.argv[1]))
name = sys.argv[2]
sessions.create(name, "", []).result()
for place in range(10**9):
    sessions.add(name, [Logged(str(place), 0, 0.0, str(place))]).result()
    print(place, flush=True)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for after in (1, 40, 150):
        name = new_session_id()
        told = [sys.executable, "-c", _TELLER, str(tmp_path / "s.sqlite"), name]
        with subprocess.Popen(told, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(after):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            last = [int(line) for line in process.stdout.read().split("\n")[:-1] if line] or [after - 1]
        sessions = SqliteSessions(tmp_path / "s.sqlite")
        tracks = [event.track for event in sessions.read(name).result().events]
        sessions.close()
        assert tracks[: last[-1] + 1] == [str(place) for place in range(last[-1] + 1)]
        assert len(tracks) <= last[-1] + 2, "one may be on disk that nobody heard of"
