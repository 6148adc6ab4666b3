"""Live sessions in one SQLite file, in WAL mode.

Results are given after the commit, so a kill loses nothing that was acknowledged. With `synchronous=NORMAL` a power cut
may lose the last commits, without damage to the file; `durable` syncs each transaction.

What is deleted is overwritten (`secure_delete`), but SQLite also moves rows between pages and leaves copies there, and
its log keeps old pages. So after a listener was deleted, the file is rewritten and its log emptied, and both are
synced; a file of more than REWRITTEN_BYTES is rewritten when it is opened next. It is marked until that is done.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segue.errors import FormatError, InputError, SegueError
from segue.serving.sessions.store import (
    Added,
    Answer,
    FullStoreError,
    LiveSession,
    Logged,
    PastSessions,
    ReadOnlyStoreError,
    SessionJob,
    Sessions,
    fresh_events,
    last_plays,
    no_listener,
    no_session,
)

STORE_VERSION: Final = 2
_OLD_VERSION: Final = 1
"""A version without listeners, which is made into this one when it is opened."""
REWRITTEN_BYTES: Final = 256 << 20
"""Largest file that is rewritten at once; that takes some 5 ms a megabyte, and sessions wait."""
_NUM_BYTES: Final = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_MARK: Final = 0x5E60E
"""The `application_id` of a file that has to be rewritten."""
_BUSY_MS: Final = 10_000
"""How long to wait for another process that writes."""
_LISTENERS: Final = "CREATE INDEX session_listener ON session (listener, created_at) WHERE listener IS NOT NULL;"
_SCHEMA: Final = f"""
CREATE TABLE session (
  id TEXT PRIMARY KEY, model TEXT NOT NULL, created_at REAL NOT NULL, touched_at REAL NOT NULL, events INTEGER NOT NULL,
  listener TEXT
) WITHOUT ROWID;
{_LISTENERS}
CREATE TABLE event (
  session TEXT NOT NULL, place INTEGER NOT NULL, track TEXT NOT NULL, strength INTEGER NOT NULL, at REAL NOT NULL,
  event_id TEXT, PRIMARY KEY (session, place)
) WITHOUT ROWID;
CREATE UNIQUE INDEX event_id ON event (session, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX session_created ON session (created_at);
"""


class SqliteSessions(Sessions):
    """Sessions in the file `path`, created where it is missing.

    Raises:
        FormatError: the file is not a store of sessions, or of another version. InputError: it cannot be created.
    """

    def __init__(self, path: Path, *, expires_s: float = 24 * 3600.0, durable: bool = False) -> None:
        self._expires_s = expires_s
        self._connection = _opened(path, durable=durable)
        (mark,) = self._connection.execute("PRAGMA application_id").fetchone()
        self._has_copies = self._has_log = mark == _MARK
        """Whether the file, and its log, may still have something of a listener who was deleted."""
        self._unmarks = False
        """Whether the file has been rewritten, so that it need not be marked once its log is empty."""
        if self._has_log:
            self._clean()
        super().__init__()

    def close(self) -> None:
        """Finish all jobs, then close the file."""
        super().close()
        self._connection.close()

    def _done(self, jobs: Sequence[SessionJob]) -> list[Answer]:
        """Do all jobs in one transaction; one that fails does not affect the others."""
        answers: list[Answer] = []
        to = self._connection
        try:
            to.execute("BEGIN IMMEDIATE" if any(job.writes for job in jobs) else "BEGIN")
        except sqlite3.Error as error:  # nothing can be written, but jobs that only read can be done
            answers = [(job, _segue_error(error)) for job in jobs if job.writes]
            jobs = [job for job in jobs if not job.writes]
            to.execute("BEGIN")
        for job in jobs:
            try:
                to.execute("SAVEPOINT job")
                result = job.work(_Session(to, job.session_id, self._expires_s))
                to.execute("RELEASE job")
                answers.append((job, result))
            except Exception as error:
                if to.in_transaction:  # a full disk may have rolled all of it back
                    to.execute("ROLLBACK TO job")
                    to.execute("RELEASE job")
                else:
                    answers = _unwritten(answers, error)
                    to.execute("BEGIN")
                answers.append((job, _segue_error(error)))
        try:
            to.execute("COMMIT")
        except sqlite3.Error as error:
            answers = _unwritten(answers, error)
            if to.in_transaction:
                to.execute("ROLLBACK")
        if self._has_log:
            self._clean()
        return answers

    def _past(self, listener: str, before: tuple[float, str]) -> PastSessions:
        query = (
            "SELECT id FROM session WHERE listener = ? AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC"
        )
        try:
            ids = self._connection.execute(query, (listener, *before))
            return last_plays(_events(self._connection, each) for (each,) in ids)
        except sqlite3.Error as error:
            raise _segue_error(error) from error

    def _forget(self, listener: str) -> None:
        to = self._connection
        try:
            to.execute("BEGIN IMMEDIATE")
            to.execute("DELETE FROM event WHERE session IN (SELECT id FROM session WHERE listener = ?)", (listener,))
            deleted = to.execute("DELETE FROM session WHERE listener = ?", (listener,)).rowcount
            to.execute(f"PRAGMA application_id = {_MARK}")
            to.execute("COMMIT" if deleted else "ROLLBACK")
        except sqlite3.Error as error:
            if to.in_transaction:
                to.execute("ROLLBACK")
            raise _segue_error(error) from error
        if deleted == 0:
            raise no_listener()
        (num_bytes,) = to.execute(_NUM_BYTES).fetchone()
        self._has_log, self._has_copies, self._unmarks = True, num_bytes <= REWRITTEN_BYTES, False
        self._clean()

    def _clean(self) -> None:
        """Rewrite the file if it may have copies, and empty its log; what another process holds up is tried again."""
        to, rewrite, self._has_copies = self._connection, self._has_copies, False
        to.execute("PRAGMA busy_timeout = 0")
        try:
            if rewrite:
                to.execute("VACUUM")
                self._unmarks = True
            self._has_log = bool(to.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            if self._unmarks and not self._has_log:
                to.execute("PRAGMA application_id = 0")
        except sqlite3.Error:  # such as a full disk: the mark stays
            return
        finally:
            to.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")


@dataclass(frozen=True)
class _Session:
    """One session within a transaction."""

    to: sqlite3.Connection
    session_id: str
    expires_s: float

    def begin(self, model: str, events: Sequence[Logged], listener: str | None) -> None:
        """Begin the session with these events."""
        now = time.time()
        row = (self.session_id, model, now, now, listener)
        self.to.execute("INSERT INTO session VALUES (?, ?, ?, ?, 0, ?)", row)
        self._append(events, 0)

    def add(self, events: Sequence[Logged]) -> Added:
        """Add the events that it does not have yet."""
        num_events = self._row()[3]
        return self._append(events, int(num_events))

    def read(self) -> LiveSession:
        """Return the session."""
        model, created_at, *_, listener = self._row()
        return LiveSession(self.session_id, str(model), float(created_at), _events(self.to, self.session_id), listener)

    def remove(self) -> None:
        """Delete the session and its events."""
        self._row()
        self.to.execute("DELETE FROM event WHERE session = ?", (self.session_id,))
        self.to.execute("DELETE FROM session WHERE id = ?", (self.session_id,))

    def _row(self) -> tuple[Any, ...]:
        """Return model, created_at, touched_at, number of events and listener of a session that has not expired."""
        query = "SELECT model, created_at, touched_at, events, listener FROM session WHERE id = ?"
        row: tuple[Any, ...] | None = self.to.execute(query, (self.session_id,)).fetchone()
        if row is None or float(row[2]) < time.time() - self.expires_s:
            raise no_session()
        return row

    def _append(self, events: Sequence[Logged], num_before: int) -> Added:
        stored, ids = "SELECT 1 FROM event WHERE session = ? AND event_id = ?", {event.event_id for event in events}
        present = [each for each in ids - {None} if self.to.execute(stored, (self.session_id, each)).fetchone()]
        fresh = fresh_events(events, present, num_before)
        rows = [
            (self.session_id, position, event.track, event.strength, event.at, event.event_id)
            for position, event in enumerate(fresh, num_before)
        ]
        self.to.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)
        touched = (num_before + len(fresh), time.time(), self.session_id)
        self.to.execute("UPDATE session SET events = ?, touched_at = ? WHERE id = ?", touched)
        return Added(len(fresh), len(events) - len(fresh), num_before + len(fresh))


def _unwritten(answers: Sequence[Answer], error: Exception) -> list[Answer]:
    """Return the answers of jobs whose transaction was rolled back because of `error`."""
    why = _segue_error(error)
    return [(job, why if job.writes and not isinstance(answer, Exception) else answer) for job, answer in answers]


def stored_sessions(path: Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file in the order in which they began, read only.

    Raises:
        FormatError: it is missing, or no store of sessions.
    """
    if not path.is_file():
        raise FormatError(f"{path} is missing; name the file that segue serve keeps its sessions in")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        listener = "NULL" if _checked_version(connection, path) == _OLD_VERSION else "listener"
        rows = connection.execute(f"SELECT id, model, created_at, {listener} FROM session ORDER BY created_at, id")
        for session_id, model, created_at, whose in rows:
            yield LiveSession(session_id, model, created_at, _events(connection, session_id), whose)
    except sqlite3.Error as error:
        raise FormatError(f"{path} cannot be read ({error})") from error
    finally:
        connection.close()


def _opened(path: Path, *, durable: bool) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path} cannot be made ({error}); name another file for sessions") from error
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA secure_delete = ON")
        if fresh:
            path.chmod(0o600)  # only its owner may read what people listen to
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {STORE_VERSION}; COMMIT;")
        if _checked_version(connection, path) == _OLD_VERSION:
            listeners = f"ALTER TABLE session ADD COLUMN listener TEXT; {_LISTENERS}"
            connection.executescript(f"BEGIN IMMEDIATE; {listeners} PRAGMA user_version = {STORE_VERSION}; COMMIT;")
    except sqlite3.Error as error:
        connection.close()
        raise FormatError(f"{path} is not a store of sessions, or cannot be written ({error})") from error
    except FormatError:
        connection.close()
        raise
    return connection


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file, this one or the old one; FormatError for any other."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version not in (_OLD_VERSION, STORE_VERSION):
        raise FormatError(
            f"{path} is not a store of sessions of version {STORE_VERSION} (it says {version}); name another file"
        )
    return version


def _events(to: sqlite3.Connection, session_id: str) -> tuple[Logged, ...]:
    rows = to.execute("SELECT track, strength, at, event_id FROM event WHERE session = ? ORDER BY place", (session_id,))
    return tuple(Logged(*row) for row in rows)


def _segue_error(error: Exception) -> Exception:
    """Return a SegueError that says what to do for an error of SQLite; other errors as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return FullStoreError("the disk is full: nothing was written; make room, then send it again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return ReadOnlyStoreError(f"sessions cannot be written ({error}); stored sessions can be read")
    return SegueError(f"the store of sessions failed ({error}); send it again")
