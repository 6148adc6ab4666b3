"""Live sessions in one SQLite file, in WAL mode.

One thread owns the connection. What waits is written in one transaction, and acknowledged when it is committed: a kill
loses nothing that was acknowledged. `synchronous=NORMAL` leaves the last commits to the operating system: a power cut
may lose them, without damage; `durable` syncs each transaction.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from segue.errors import FormatError, InputError, SegueError
from segue.serving.sessions.store import (
    Added,
    FullStoreError,
    LiveSession,
    Logged,
    ReadOnlyStoreError,
    Sessions,
    check_room,
    no_session,
)
from segue.serving.sessions.waiting import batches

T = TypeVar("T")
STORE_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE session (
  id TEXT PRIMARY KEY, model TEXT NOT NULL, created_at REAL NOT NULL, touched_at REAL NOT NULL, events INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE event (
  session TEXT NOT NULL, place INTEGER NOT NULL, track TEXT NOT NULL, strength INTEGER NOT NULL, at REAL NOT NULL,
  event_id TEXT, PRIMARY KEY (session, place)
) WITHOUT ROWID;
CREATE UNIQUE INDEX event_id ON event (session, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX session_created ON session (created_at);
"""


@dataclass
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    writes: bool


class SqliteSessions(Sessions):
    """Sessions in the file `path`, made where it is missing.

    Raises:
        FormatError: the file is no store of sessions, or of another version. InputError: it cannot be made.
    """

    def __init__(self, path: Path, *, expires_s: float = 24 * 3600.0, durable: bool = False) -> None:
        self._expires_s = expires_s
        self._connection = _opened(path, durable=durable)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="segue-sessions", daemon=True)
        self._thread.start()

    def create(self, session_id: str, model: str, events: Sequence[Logged]) -> Future[None]:
        """Begin a session with these events."""

        def work(to: sqlite3.Connection) -> None:
            now = time.time()
            to.execute("INSERT INTO session VALUES (?, ?, ?, ?, 0)", (session_id, model, now, now))
            _append(to, session_id, events, 0)

        return self._asked(work, writes=True)

    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session."""

        def work(to: sqlite3.Connection) -> Added:
            found = self._found(to, session_id)
            return _append(to, session_id, events, int(found[3]))

        return self._asked(work, writes=True)

    def read(self, session_id: str) -> Future[LiveSession]:
        """Give a session."""

        def work(to: sqlite3.Connection) -> LiveSession:
            model, created_at, _, _ = self._found(to, session_id)
            return LiveSession(session_id, str(model), float(created_at), _events(to, session_id))

        return self._asked(work, writes=False)

    def remove(self, session_id: str) -> Future[None]:
        """Forget a session and its events."""

        def work(to: sqlite3.Connection) -> None:
            self._found(to, session_id)
            to.execute("DELETE FROM event WHERE session = ?", (session_id,))
            to.execute("DELETE FROM session WHERE id = ?", (session_id,))

        return self._asked(work, writes=True)

    def close(self) -> None:
        """Write what was told, and let go."""
        self._jobs.put(None)
        self._thread.join()

    def _found(self, to: sqlite3.Connection, session_id: str) -> tuple[Any, ...]:
        row = to.execute("SELECT model, created_at, touched_at, events FROM session WHERE id = ?", (session_id,))
        found: tuple[Any, ...] | None = row.fetchone()
        if found is None or float(found[2]) < time.time() - self._expires_s:
            raise no_session()
        return found

    def _asked(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future, writes))
        return future

    def _work(self) -> None:
        for jobs in batches(self._jobs):
            self._transact(jobs)
        self._connection.close()

    def _transact(self, jobs: Sequence[_Job]) -> None:
        """Do all jobs in one transaction; one that fails leaves the others as they are."""
        done: list[tuple[_Job, Any]] = []
        failed: list[tuple[_Job, BaseException]] = []
        writes = any(job.writes for job in jobs)
        to = self._connection
        try:
            to.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        except sqlite3.Error as error:  # nothing can be written: those who only read go on
            failed += [(job, _told(error)) for job in jobs if job.writes]
            jobs = [job for job in jobs if not job.writes]
            to.execute("BEGIN")
        for job in jobs:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                to.execute("SAVEPOINT job")
                done.append((job, job.work(to)))
                to.execute("RELEASE job")
            except (sqlite3.Error, SegueError) as error:
                failed.append((job, _told(error)))
                if to.in_transaction:  # a full disk may have rolled all of it back
                    to.execute("ROLLBACK TO job")
                    to.execute("RELEASE job")
                else:
                    failed += [(each, _told(error)) for each, _ in done if each.writes]
                    done = [(each, value) for each, value in done if not each.writes]
                    to.execute("BEGIN")
        try:
            to.execute("COMMIT")
        except sqlite3.Error as error:
            failed += [(job, _told(error)) for job, _ in done]
            done = []
            if to.in_transaction:
                to.execute("ROLLBACK")
        for job, value in done:
            job.future.set_result(value)
        for job, why in failed:
            job.future.set_exception(why)


def stored_sessions(path: Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file, by when they began, read only.

    Raises:
        FormatError: it is missing, or no store of sessions.
    """
    if not path.is_file():
        raise FormatError(f"{path} is missing; name the file that segue serve keeps its sessions in")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        _check_version(connection, path)
        found = connection.execute("SELECT id, model, created_at FROM session ORDER BY created_at, id")
        for session_id, model, created_at in found:
            yield LiveSession(session_id, model, created_at, _events(connection, session_id))
    except sqlite3.Error as error:
        raise FormatError(f"{path} cannot be read ({error})") from error
    finally:
        connection.close()


def _opened(path: Path, *, durable: bool) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path} cannot be made ({error}); name another file for sessions") from error
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        if fresh:
            path.chmod(0o600)  # what people listen to is nobody else's business
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {STORE_VERSION}; COMMIT;")
        _check_version(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise FormatError(f"{path} is no store of sessions, or cannot be written ({error})") from error
    except FormatError:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != STORE_VERSION:
        raise FormatError(
            f"{path} is no store of sessions of version {STORE_VERSION} (it says {version}); name another file"
        )


def _append(to: sqlite3.Connection, session_id: str, events: Sequence[Logged], held: int) -> Added:
    fresh = held
    for event in events:
        if event.event_id is not None:
            told = to.execute(
                "SELECT 1 FROM event WHERE session = ? AND event_id = ?", (session_id, event.event_id)
            ).fetchone()
            if told is not None:
                continue
        check_room(fresh)
        row = (session_id, fresh, event.track, event.strength, event.at, event.event_id)
        to.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", row)
        fresh += 1
    to.execute("UPDATE session SET events = ?, touched_at = ? WHERE id = ?", (fresh, time.time(), session_id))
    return Added(fresh - held, len(events) - (fresh - held), fresh)


def _events(to: sqlite3.Connection, session_id: str) -> tuple[Logged, ...]:
    found = to.execute(
        "SELECT track, strength, at, event_id FROM event WHERE session = ? ORDER BY place", (session_id,)
    )
    return tuple(Logged(*row) for row in found)


def _told(error: BaseException) -> BaseException:
    """Return what a caller understands of an error of SQLite."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return FullStoreError("the disk is full: nothing was written; make room, then tell it again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return ReadOnlyStoreError(f"sessions cannot be written ({error}); sessions that stand there can be read")
    return SegueError(f"the store of sessions failed ({error}); tell it again")
