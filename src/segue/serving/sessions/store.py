"""The interface of a store of live sessions, with its records, its errors, and the thread that does its jobs."""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from segue.errors import SegueError

MOST_EVENTS: Final = 10_000
"""Most events of one session."""
MOST_PLAYS: Final = 1_024
"""Most plays of a listener's earlier sessions that are read, the last ones. All are stored."""
_MOST_IN_BATCH: Final = 256
"""Most jobs of one batch."""


class NoSessionError(SegueError):
    """There is no such session, or it has expired."""


class NoListenerError(SegueError):
    """Nothing is stored of this listener."""


class SessionFullError(SegueError):
    """A session has as many events as it may have."""


class FullStoreError(SegueError):
    """Nothing can be written because the disk or the memory is full."""


class ReadOnlyStoreError(SegueError):
    """Nothing can be written; sessions can still be read."""


@dataclass(frozen=True)
class Logged:
    """One event of a live session."""

    track: str
    strength: int
    """0..3, 255 = unknown."""
    at: float
    """When it was played, or else when the service got it, in UTC seconds."""
    event_id: str | None = None
    """The client's own id: an event that is sent again with it counts once."""


@dataclass(frozen=True)
class LiveSession:
    """One session so far."""

    session_id: str
    model: str
    """The model that was named when it began; "" = the default."""
    created_at: float
    events: tuple[Logged, ...]
    listener: str | None = None
    """Whose session it is; None = nobody said so."""

    @property
    def began(self) -> tuple[float, str]:
        """Return its place in the order of a listener's sessions: when it began, then its id."""
        return self.created_at, self.session_id


PastSessions = tuple[tuple[Logged, ...], ...]
"""The events of a listener's earlier sessions, in the order in which they began; no session is empty."""
LATEST: Final = (float("inf"), "")
"""A place behind all sessions of a listener, for `Sessions.past`."""


@dataclass(frozen=True)
class Added:
    """How many of the new events were added."""

    accepted: int
    repeated: int
    """Events whose id the session had already."""
    events: int
    """Events of the session afterwards."""


@dataclass(frozen=True, eq=False)
class SessionJob:
    """One piece of work on one session, and the Future that gets its result."""

    session_id: str
    work: Callable[[Any], Any]
    """Returns the result, given the session in a transaction: an object with `begin`, `add`, `read` and `remove`."""
    writes: bool
    events: Sequence[Logged] = ()
    """The events that the work adds."""
    future: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True, eq=False)
class ListenerJob:
    """One piece of work on all sessions of a listener, in a transaction of its own."""

    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


Job = SessionJob | ListenerJob
Answer = tuple[SessionJob, Any]
"""A job and its result, or the exception that it failed with."""


class Sessions(ABC):
    """Live sessions. Methods may be called from any thread; when a Future has its result, it has been written.

    One thread does all jobs of sessions that wait in one transaction.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="segue-sessions", daemon=True)
        self._thread.start()

    def create(
        self, session_id: str, model: str, events: Sequence[Logged], listener: str | None = None
    ) -> Future[None]:
        """Begin a session with these events."""
        return self._put(SessionJob(session_id, lambda session: session.begin(model, events, listener), True, events))

    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session; NoSessionError, SessionFullError."""
        return self._put(SessionJob(session_id, lambda session: session.add(events), True, events))

    def read(self, session_id: str) -> Future[LiveSession]:
        """Return a session; NoSessionError."""
        return self._put(SessionJob(session_id, lambda session: session.read(), False))

    def remove(self, session_id: str) -> Future[None]:
        """Delete a session and its events; NoSessionError."""
        return self._put(SessionJob(session_id, lambda session: session.remove(), True))

    def past(self, listener: str, before: tuple[float, str] = LATEST) -> Future[PastSessions]:
        """Return the last sessions of a listener that began before `before`, whole: see `last_plays`.

        Sessions that have expired count.
        """
        return self._put(ListenerJob(lambda: self._past(listener, before)))

    def forget(self, listener: str) -> Future[None]:
        """Delete all sessions of a listener and their events; NoListenerError where there are none."""
        return self._put(ListenerJob(lambda: self._forget(listener)))

    def close(self) -> None:
        """Finish all jobs, then close the store."""
        self._jobs.put(None)
        self._thread.join()

    @abstractmethod
    def _done(self, jobs: Sequence[SessionJob]) -> Iterable[Answer]:
        """Return the answers of jobs whose changes have been written, in any order."""

    @abstractmethod
    def _past(self, listener: str, before: tuple[float, str]) -> PastSessions:
        """Return what `past` promises."""

    @abstractmethod
    def _forget(self, listener: str) -> None:
        """Do what `forget` promises; when it returns, it has been written."""

    def _put(self, job: Job) -> Future[Any]:
        self._jobs.put(job)
        return job.future

    def _work(self) -> None:
        for batch in _batches(self._jobs):
            jobs = [job for job in batch if job.future.set_running_or_notify_cancel()]
            try:
                for job, answer in self._answers(jobs):
                    if isinstance(answer, Exception):
                        job.future.set_exception(answer)
                    else:
                        job.future.set_result(answer)
            except Exception as error:  # a bug: without an answer, these requests would wait for ever
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(error)

    def _answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
        """Yield the answer of each job; jobs on a listener come between those that were sent before and after."""
        for _, group in itertools.groupby(jobs, lambda job: isinstance(job, SessionJob)):
            some = [*group]
            yield from self._done([job for job in some if isinstance(job, SessionJob)])
            for job in some:
                if isinstance(job, ListenerJob):
                    yield job, _outcome(job)


def _outcome(job: ListenerJob) -> Any:
    """Return the result of a job, or the error that it failed with."""
    try:
        return job.work()
    except SegueError as error:
        return error


def last_plays(newest_first: Iterable[tuple[Logged, ...]]) -> PastSessions:
    """Return whole sessions of at least MOST_PLAYS plays, of sessions that come newest first, where there are so many.

    No more of these are read than needed.
    """
    sessions: list[tuple[Logged, ...]] = []
    num_plays = 0
    for events in newest_first:
        if events:
            sessions.append(events)
            num_plays += len(events)
        if num_plays >= MOST_PLAYS:
            break
    return tuple(reversed(sessions))


def _batches(jobs: queue.SimpleQueue[Job | None]) -> Iterator[list[Job]]:
    """Yield all jobs that wait, in order, as soon as there is one; None in the queue is the end."""
    ending = False
    while not ending:
        batch: list[Job] = []
        job = jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _MOST_IN_BATCH:
                break
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                break
        ending = job is None
        if batch:
            yield batch


def new_session_id() -> str:
    """Return an id that nobody can guess: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def fresh_events(events: Sequence[Logged], event_ids: Collection[str | None], num_events: int) -> list[Logged]:
    """Return those of `events` that a session of `num_events` events with these ids does not have yet.

    Raises:
        SessionFullError: there is no room for all of them.
    """
    fresh: list[Logged] = []
    seen: set[str | None] = set(event_ids)
    for event in events:
        if event.event_id is None or event.event_id not in seen:
            fresh.append(event)
            seen.add(event.event_id)
    if num_events + len(fresh) > MOST_EVENTS:
        raise SessionFullError(f"a session holds {MOST_EVENTS:,} events at most; begin a new one")
    return fresh


def no_session() -> NoSessionError:
    """Return the error for a missing session."""
    return NoSessionError("there is no such session, or it has expired; begin a new one")


def no_listener() -> NoListenerError:
    """Return the error for a listener without a session."""
    return NoListenerError("nothing is stored of such a listener: there is nothing to delete")
