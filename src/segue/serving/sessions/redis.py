"""Live sessions in Redis, for services on several machines.

A session is one hash, `segue:1:ID`, so that all of it expires or is evicted at once:

| field | value |
|---|---|
| `model`, `created_at`, `events` | text; UTC seconds; number of events |
| `e:POSITION` | JSON: track, strength, at |
| `i:EVENT_ID` | the position of the event with this id |

One thread writes. It does all waiting jobs in one transaction (WATCH, read, MULTI ... EXEC), and gives their results
after the answer of Redis. Whether they survive a crash of Redis depends on its configuration (`appendonly`).
"""

from __future__ import annotations

import itertools
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import redis

from segue.errors import SegueError
from segue.serving.sessions.redis_client import segue_error
from segue.serving.sessions.redis_draft import Draft, id_field, read_session
from segue.serving.sessions.store import Added, LiveSession, Logged, Sessions, no_session
from segue.serving.sessions.waiting import batches

T = TypeVar("T")
PREFIX: Final = "segue:1:"
"""Prefix of every key; the number is the version of the format."""
_ID: Final = re.compile(r"[0-9a-f]{1,128}")
_TRIES: Final = 200
"""Most tries to write a session that other services write too; a try fails only where another one succeeds."""
_PAUSE_S: Final = 0.01
"""Longest pause between two tries."""
_LONGEST_S: Final = 100 * 366 * 24 * 3600.0
"""Longest life of a session, so that its milliseconds fit into 64 bits."""
_CHUNK: Final = 500
"""Sessions that an export reads at once."""


@dataclass(frozen=True)
class _Write:
    session_id: str
    events: Sequence[Logged]
    work: Callable[[Draft], Any]
    future: Future[Any]


@dataclass(frozen=True)
class _Read:
    session_id: str
    future: Future[LiveSession]


class RedisSessions(Sessions):
    """Sessions in the Redis of `client`, which `close` closes too. Redis 6.2 or later.

    Redis deletes a session with its events `expires_s` after its last write, unlike SQLite, which keeps the events. So
    export it before then (`segue log export`).
    """

    def __init__(self, client: redis.Redis, *, expires_s: float = 24 * 3600.0) -> None:
        self._client = client
        self._expires_ms = max(1, int(1000.0 * min(expires_s, _LONGEST_S)))
        self._draw = random.Random()
        self._jobs: queue.SimpleQueue[_Write | _Read | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="segue-sessions", daemon=True)
        self._thread.start()

    def create(self, session_id: str, model: str, events: Sequence[Logged]) -> Future[None]:
        """Begin a session with these events."""
        return self._written(session_id, events, lambda draft: draft.begin(model, events))

    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session."""
        return self._written(session_id, events, lambda draft: draft.add(events))

    def read(self, session_id: str) -> Future[LiveSession]:
        """Return a session."""
        future: Future[LiveSession] = Future()
        self._put(_Read(session_id, future))
        return future

    def remove(self, session_id: str) -> Future[None]:
        """Delete a session and its events."""
        return self._written(session_id, (), Draft.remove)

    def close(self) -> None:
        """Finish all jobs, then close the connection."""
        self._jobs.put(None)
        self._thread.join()
        self._client.close()

    def _written(self, session_id: str, events: Sequence[Logged], work: Callable[[Draft], T]) -> Future[T]:
        future: Future[T] = Future()
        self._put(_Write(session_id, events, work, future))
        return future

    def _put(self, job: _Write | _Read) -> None:
        if _ID.fullmatch(job.session_id):
            self._jobs.put(job)
        else:  # an id of another form is never part of a key
            job.future.set_exception(no_session())

    def _work(self) -> None:
        waiting: Iterator[list[_Write | _Read]] = batches(self._jobs)
        for batch in waiting:
            jobs = [job for job in batch if job.future.set_running_or_notify_cancel()]
            try:
                self._write([job for job in jobs if isinstance(job, _Write)])
                self._read([job for job in jobs if isinstance(job, _Read)])
            except Exception as error:  # after a bug of ours, no request waits for ever
                _refuse([job for job in jobs if not job.future.done()], error)

    def _write(self, jobs: Sequence[_Write]) -> None:
        """Do jobs in one transaction; if a session makes it fail, do each session in its own."""
        if not jobs or self._tried(jobs):
            return
        by_session: dict[str, list[_Write]] = {}
        for job in jobs:
            by_session.setdefault(job.session_id, []).append(job)
        for session_jobs in by_session.values():
            self._write_one(session_jobs)

    def _write_one(self, jobs: Sequence[_Write]) -> None:
        for _ in range(_TRIES):
            if self._tried(jobs):
                return
            time.sleep(_PAUSE_S * self._draw.random())
        _refuse(jobs, SegueError("too many write to this session at once: nothing was written; tell it again"))

    def _tried(self, jobs: Sequence[_Write]) -> bool:
        """Do jobs in one transaction and set their results; False = nothing was written, and no result is set."""
        try:
            answers = self._transact(jobs)
        except redis.WatchError as error:
            if error.__context__ is None:  # another service wrote one of the sessions, or one expired
                return False
            why = SegueError(
                "the connection to Redis broke before it answered: perhaps it was written, perhaps not; tell it again "
                "(what has an event_id counts once)"
            )
        except redis.ResponseError as error:  # refused before anything was written
            why = segue_error(error)
            if type(why) is SegueError and len({job.session_id for job in jobs}) > 1:
                return False  # perhaps one key only, such as one of another type; a full Redis refuses all
        except redis.RedisError as error:
            why = segue_error(error)
        except SegueError as error:
            why = error
        else:
            _answer(answers)
            return True
        _refuse(jobs, why)
        return True

    def _transact(self, jobs: Sequence[_Write]) -> list[tuple[_Write, Any]]:
        """Return the result of each job, or the SegueError that it failed with, after all is written."""
        answers: list[tuple[_Write, Any]] = []
        with self._client.pipeline() as pipeline:
            drafts = self._drafts(pipeline, jobs)
            for job in jobs:
                try:
                    answers.append((job, job.work(drafts[job.session_id])))
                except SegueError as error:
                    answers.append((job, error))
            pipeline.multi()
            for session_id, draft in drafts.items():
                draft.queue_changes(pipeline, PREFIX + session_id, self._expires_ms)
            for result in pipeline.execute(raise_on_error=False):
                if isinstance(result, redis.RedisError):
                    raise segue_error(result) from result
        return answers

    def _drafts(self, pipeline: redis.client.Pipeline, jobs: Sequence[_Write]) -> dict[str, Draft]:
        """Watch the sessions of jobs, then read them."""
        event_ids: dict[str, dict[str, None]] = {job.session_id: {} for job in jobs}
        for job in jobs:
            event_ids[job.session_id] |= {each.event_id: None for each in job.events if each.event_id is not None}
        watch: Callable[..., Any] = pipeline.watch
        watch(*(PREFIX + session_id for session_id in event_ids))
        with self._client.pipeline(transaction=False) as reads:  # the watching connection could only read one by one
            for session_id, ids in event_ids.items():
                reads.hmget(PREFIX + session_id, ["events", *(id_field(each) for each in ids)])
            rows = reads.execute()
        drafts = {}
        for (session_id, ids), (num_events, *positions) in zip(event_ids.items(), rows, strict=True):
            present = {each for each, position in zip(ids, positions, strict=True) if position is not None}
            drafts[session_id] = Draft(None if num_events is None else int(num_events), present)
        return drafts

    def _read(self, jobs: Sequence[_Read]) -> None:
        if not jobs:
            return
        try:
            hashes = _hashes(self._client, [job.session_id for job in jobs])
        except redis.RedisError as error:
            _refuse(jobs, segue_error(error))
            return
        answers: list[tuple[_Read, Any]] = []
        for job, fields in zip(jobs, hashes, strict=True):
            try:
                answers.append((job, read_session(job.session_id, fields)))
            except SegueError as error:
                answers.append((job, error))
        _answer(answers)


def sessions_in_redis(client: redis.Redis) -> Iterator[LiveSession]:
    """Yield all sessions of a Redis in the order in which they began, read only.

    Raises:
        SegueError: Redis fails, or a session is damaged.
    """
    try:
        began: dict[str, float] = {}
        for ids in _chunks(_ids(client)):
            with client.pipeline(transaction=False) as reads:
                for each in ids:
                    reads.hget(PREFIX + each, "created_at")
                times = reads.execute()
            began |= {each: float(at) for each, at in zip(ids, times, strict=True) if at is not None}
        for ids in _chunks(sorted(began, key=lambda each: (began[each], each))):
            for session_id, fields in zip(ids, _hashes(client, ids), strict=True):
                if fields:  # else it has expired in the meantime
                    yield read_session(session_id, fields)
    except redis.RedisError as error:
        raise segue_error(error) from error


def _ids(client: redis.Redis) -> Iterator[str]:
    for key in client.scan_iter(match=f"{PREFIX}*", count=_CHUNK):
        session_id = bytes(key).decode("utf-8", "replace").removeprefix(PREFIX)
        if _ID.fullmatch(session_id):
            yield session_id


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(ids)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        yield chunk


def _hashes(client: redis.Redis, ids: Sequence[str]) -> list[Any]:
    """Return the fields of each session, or an error of Redis instead of them."""
    with client.pipeline(transaction=False) as reads:
        for each in ids:
            reads.hgetall(PREFIX + each)
        return reads.execute(raise_on_error=False)


def _answer(answers: Iterable[tuple[_Write | _Read, Any]]) -> None:
    for job, value in answers:
        if isinstance(value, SegueError):
            job.future.set_exception(value)
        else:
            job.future.set_result(value)


def _refuse(jobs: Iterable[_Write | _Read], why: Exception) -> None:
    for job in jobs:
        job.future.set_exception(why)
