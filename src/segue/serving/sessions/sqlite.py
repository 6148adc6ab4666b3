"""Live sessions in one SQLite file, in WAL mode.

One thread uses the connection. It writes all waiting jobs in one transaction, and gives their results after the
commit, so a kill loses nothing that was acknowledged. With `synchronous=NORMAL` a power cut may lose the last commits,
without damage to the file; `durable` syncs each transaction.
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
    """Sessions in the file `path`, created where it is missing.

    Raises:
        FormatError: the file is not a store of sessions, or of another version. InputError: it cannot be created.
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

        return self._put(work, writes=True)

    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session."""

        def work(to: sqlite3.Connection) -> Added:
            *_, num_events = self._row(to, session_id)
            return _append(to, session_id, events, int(num_events))

        return self._put(work, writes=True)

    def read(self, session_id: str) -> Future[LiveSession]:
        """Return a session."""

        def work(to: sqlite3.Connection) -> LiveSession:
            model, created_at, *_ = self._row(to, session_id)
            return LiveSession(session_id, str(model), float(created_at), _events(to, session_id))

        return self._put(work, writes=False)

    def remove(self, session_id: str) -> Future[None]:
        """Delete a session and its events."""

        def work(to: sqlite3.Connection) -> None:
            self._row(to, session_id)
            to.execute("DELETE FROM event WHERE session = ?", (session_id,))
            to.execute("DELETE FROM session WHERE id = ?", (session_id,))

        return self._put(work, writes=True)

    def close(self) -> None:
        """Finish all jobs, then close the file."""
        self._jobs.put(None)
        self._thread.join()

    def _row(self, to: sqlite3.Connection, session_id: str) -> tuple[Any, ...]:
        """Return model, created_at, touched_at and the number of events of a session that has not expired."""
        rows = to.execute("SELECT model, created_at, touched_at, events FROM session WHERE id = ?", (session_id,))
        row: tuple[Any, ...] | None = rows.fetchone()
        if row is None or float(row[2]) < time.time() - self._expires_s:
            raise no_session()
        return row

    def _put(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future, writes))
        return future

    def _work(self) -> None:
        for jobs in batches(self._jobs):
            self._transact(jobs)
        self._connection.close()

    def _transact(self, jobs: Sequence[_Job]) -> None:
        """Do all jobs in one transaction; one that fails does not affect the others."""
        done: list[tuple[_Job, Any]] = []
        failed: list[tuple[_Job, BaseException]] = []
        writes = any(job.writes for job in jobs)
        to = self._connection
        try:
            to.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        except sqlite3.Error as error:  # nothing can be written, but jobs that only read can be done
            failed += [(job, _segue_error(error)) for job in jobs if job.writes]
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
                failed.append((job, _segue_error(error)))
                if to.in_transaction:  # a full disk may have rolled all of it back
                    to.execute("ROLLBACK TO job")
                    to.execute("RELEASE job")
                else:
                    failed += [(each, _segue_error(error)) for each, _ in done if each.writes]
                    done = [(each, value) for each, value in done if not each.writes]
                    to.execute("BEGIN")
        try:
            to.execute("COMMIT")
        except sqlite3.Error as error:
            failed += [(job, _segue_error(error)) for job, _ in done]
            done = []
            if to.in_transaction:
                to.execute("ROLLBACK")
        for job, value in done:
            job.future.set_result(value)
        for job, why in failed:
            job.future.set_exception(why)


def stored_sessions(path: Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file in the order in which they began, read only.

    Raises:
        FormatError: it is missing, or no store of sessions.
    """
    if not path.is_file():
        raise FormatError(f"{path} is missing; name the file that segue serve keeps its sessions in")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        _check_version(connection, path)
        rows = connection.execute("SELECT id, model, created_at FROM session ORDER BY created_at, id")
        for session_id, model, created_at in rows:
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
            path.chmod(0o600)  # only its owner may read what people listen to
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {STORE_VERSION}; COMMIT;")
        _check_version(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise FormatError(f"{path} is not a store of sessions, or cannot be written ({error})") from error
    except FormatError:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != STORE_VERSION:
        raise FormatError(
            f"{path} is not a store of sessions of version {STORE_VERSION} (it says {version}); name another file"
        )


def _append(to: sqlite3.Connection, session_id: str, events: Sequence[Logged], num_before: int) -> Added:
    """Add the events that a session of `num_before` events does not have yet."""
    num_events = num_before
    for event in events:
        if event.event_id is not None:
            repeated = to.execute(
                "SELECT 1 FROM event WHERE session = ? AND event_id = ?", (session_id, event.event_id)
            ).fetchone()
            if repeated is not None:
                continue
        check_room(num_events)
        row = (session_id, num_events, event.track, event.strength, event.at, event.event_id)
        to.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", row)
        num_events += 1
    to.execute("UPDATE session SET events = ?, touched_at = ? WHERE id = ?", (num_events, time.time(), session_id))
    accepted = num_events - num_before
    return Added(accepted, len(events) - accepted, num_events)


def _events(to: sqlite3.Connection, session_id: str) -> tuple[Logged, ...]:
    rows = to.execute("SELECT track, strength, at, event_id FROM event WHERE session = ? ORDER BY place", (session_id,))
    return tuple(Logged(*row) for row in rows)


def _segue_error(error: BaseException) -> BaseException:
    """Return an error of SQLite as one of ours, which says what to do; other errors as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return FullStoreError("the disk is full: nothing was written; make room, then tell it again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return ReadOnlyStoreError(f"sessions cannot be written ({error}); sessions that stand there can be read")
    return SegueError(f"the store of sessions failed ({error}); tell it again")
