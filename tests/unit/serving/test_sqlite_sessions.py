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
from segue.serving.sessions import sqlite
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


def _bytes_of(path: Path) -> bytes:
    """Return the bytes of the file and of its log."""
    return b"".join(part.read_bytes() for part in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("rewritten_at_once", [True, False])
def test_nothing_of_a_deleted_listener_stays_in_the_file_or_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewritten_at_once: bool
) -> None:
    path = tmp_path / "s.sqlite"
    sessions = SqliteSessions(path)
    if not rewritten_at_once:
        monkeypatch.setattr(sqlite, "REWRITTEN_BYTES", 1000)
    names = [new_session_id() for _ in range(200)]
    for number, name in enumerate(names):
        events = [_event(f"SECRET-{number}-{i}", f"CODE-{i}") for i in range(40)]
        sessions.create(name, "MODEL", events, "LISTENER-7" if number % 2 else "other").result()
    assert b"LISTENER-7" in _bytes_of(path)
    before = len(_bytes_of(path)) - (path.parent / f"{path.name}-wal").stat().st_size
    sessions.forget("LISTENER-7").result()
    if not rewritten_at_once:
        sessions.close()
        sessions = SqliteSessions(path)
    left = _bytes_of(path)
    assert len(left) < before / 1.5, "it is rewritten"
    assert sessions._connection.execute("PRAGMA application_id").fetchone() == (0,), "and not marked any more"
    for number, name in enumerate(names):
        assert (name.encode() in left) == (number % 2 == 0)
        assert (f"SECRET-{number}-".encode() in left) == (number % 2 == 0)
    assert b"LISTENER-7" not in left
    sessions.close()


def test_a_reader_holds_up_the_overwriting_and_not_the_service(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    sessions, name = SqliteSessions(path), new_session_id()
    sessions.create(name, "", [_event("SECRET")], "ann").result()
    reader = stored_sessions(path)
    sessions.create(new_session_id(), "", [_event("b")]).result()
    assert next(reader).session_id == name
    begin = time.monotonic()
    sessions.forget("ann").result()
    assert sessions.past("ann").result() == ()
    other = new_session_id()
    sessions.create(other, "", []).result()
    assert time.monotonic() - begin < 2.0, "nobody waits for the reader"
    assert b"SECRET" in _bytes_of(path)
    reader.close()
    sessions.add(other, [_event("c")]).result()
    sessions.read(other).result()
    assert b"SECRET" not in _bytes_of(path)
    sessions.close()


def test_a_file_of_before_there_were_listeners_is_read_and_made_new(tmp_path: Path) -> None:
    path, name = tmp_path / "s.sqlite", new_session_id()
    old = sqlite3.connect(path)
    old.executescript("""
        CREATE TABLE session (id TEXT PRIMARY KEY, model TEXT NOT NULL, created_at REAL NOT NULL,
          touched_at REAL NOT NULL, events INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE event (session TEXT NOT NULL, place INTEGER NOT NULL, track TEXT NOT NULL,
          strength INTEGER NOT NULL, at REAL NOT NULL, event_id TEXT, PRIMARY KEY (session, place)) WITHOUT ROWID;
        CREATE UNIQUE INDEX event_id ON event (session, event_id) WHERE event_id IS NOT NULL;
        CREATE INDEX session_created ON session (created_at);
        PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
    """)
    now = time.time()
    old.execute("INSERT INTO session VALUES (?, 'm', ?, ?, 1)", (name, now, now))
    old.execute("INSERT INTO event VALUES (?, 0, 'a', 3, 1.5, NULL)", (name,))
    old.commit()
    old.close()
    before = [*stored_sessions(path)]
    assert [(each.events, each.listener) for each in before] == [((_event("a", None, 3),), None)]
    for _ in range(2):
        sessions = SqliteSessions(path)
        assert sessions.read(name).result() == before[0]
        sessions.create(new_session_id(), "", [_event("b")], "ann").result()
        sessions.close()
    assert [each.listener for each in stored_sessions(path)] == [None, "ann", "ann"]


def test_a_store_that_may_not_be_written_deletes_nobody(tmp_path: Path) -> None:
    sessions = SqliteSessions(tmp_path / "s.sqlite")
    sessions.create(new_session_id(), "", [_event("a")], "ann").result()
    sessions._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(ReadOnlyStoreError):
        sessions.forget("ann").result()
    assert len(sessions.past("ann").result()) == 1
    sessions.close()


def test_the_past_of_a_listener_is_found_by_index(tmp_path: Path) -> None:
    sessions = SqliteSessions(tmp_path / "s.sqlite")
    query = "SELECT id FROM session WHERE listener = ? AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC"
    plan = sessions._connection.execute(f"EXPLAIN QUERY PLAN {query}", ("a", 1.0, "")).fetchall()
    assert "session_listener" in str(plan)
    assert "TEMP B-TREE" not in str(plan)
    sessions.close()


_FORGETTER = """
import sys
from pathlib import Path
from segue.serving.sessions.sqlite import SqliteSessions
from segue.serving.sessions.store import Logged, new_session_id
sessions = SqliteSessions(Path(sys.argv[1]))
for place in range(10**9):
    sessions.create(new_session_id(), "", [Logged(str(place), 0, 0.0)] * 50, str(place)).result()
    print("told", place, flush=True)
    if place % 2:
        sessions.forget(str(place)).result()
        print("gone", place, flush=True)
"""


def test_a_kill_brings_no_deleted_listener_back(tmp_path: Path) -> None:
    for number, after in enumerate((2, 50, 151)):
        path = tmp_path / f"{number}.sqlite"
        with subprocess.Popen([sys.executable, "-c", _FORGETTER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(after)]
            os.kill(process.pid, signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        pairs = [line.decode().split() for line in lines if line.endswith(b"\n")]
        told = {place for what, place in pairs if what == "told"}
        gone = {place for what, place in pairs if what == "gone"}
        sessions = SqliteSessions(path)
        kept = {str(each.listener) for each in stored_sessions(path)}
        assert not gone & kept
        assert {place for place in told - gone if int(place) % 2 == 0} <= kept
        assert sessions.past(max(kept)).result() != ()
        sessions.close()


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
