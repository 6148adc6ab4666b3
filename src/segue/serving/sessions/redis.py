"""Live sessions in Redis, for services on several machines.

A session is one hash, `segue:1:ID`, so that it expires, and is evicted, whole:

| field | value |
|---|---|
| `model`, `created_at`, `events` | text; UTC seconds; how many events |
| `e:PLACE` | JSON: track, strength, at |
| `i:EVENT_ID` | the place of the event that has it |

One thread writes. What waits is one transaction: WATCH, look, MULTI ... EXEC, and acknowledged when Redis has said so;
whether that survives Redis itself is Redis's configuration (`appendonly`).
"""

from __future__ import annotations

import itertools
import json
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import redis

from segue.errors import SegueError
from segue.serving.sessions.redis_client import told
from segue.serving.sessions.store import (
    Added,
    LiveSession,
    Logged,
    Sessions,
    check_room,
    no_session,
)
from segue.serving.sessions.waiting import batches

T = TypeVar("T")
PREFIX: Final = "segue:1:"
"""Of every key; the number is the version of the format."""
_ID: Final = re.compile(r"[0-9a-f]{1,128}")
_TRIES: Final = 200
"""Times that one session is tried while others write it too; each of them is a time that another one succeeded."""
_PAUSE_S: Final = 0.01
"""Longest pause between two of them."""
_LONGEST_S: Final = 100 * 366 * 24 * 3600.0
"""Longest life of a session: Redis counts milliseconds in 64 bits."""
_CHUNK: Final = 500
"""Sessions that an export asks for at once."""


@dataclass
class _Draft:
    """A session within a transaction: as Redis told it, then as jobs change it."""

    held: int | None
    """Its events; None = there is no such session."""
    known: set[str]
    """Those event ids that it has, of all that are asked about."""
    fields: dict[Any, Any] = field(default_factory=dict)
    """What is to be written."""
    removed: bool = False

    def begin(self, model: str, events: Sequence[Logged]) -> None:
        """Begin it with these events."""
        if self.held is not None:
            raise SegueError("there is such a session already; begin another one")
        self._append(0, events)
        self.fields |= {"model": _bytes(model), "created_at": repr(time.time())}

    def add(self, events: Sequence[Logged]) -> Added:
        """Append those events that it does not have, all or none."""
        if self.held is None:
            raise no_session()
        return self._append(self.held, events)

    def remove(self) -> None:
        """Forget it."""
        if self.held is None:
            raise no_session()
        self.held, self.known, self.fields, self.removed = None, set(), {}, True

    def tell(self, to: redis.client.Pipeline, key: str, expires_ms: int) -> None:
        """Tell Redis what changed."""
        if self.removed:
            to.delete(key)
        if self.fields:
            to.hset(key, mapping=self.fields)
            to.pexpire(key, expires_ms)

    def _append(self, held: int, events: Sequence[Logged]) -> Added:
        fields: dict[str | bytes, str | int] = {}
        known, place = set(self.known), held
        for event in events:
            if event.event_id in known:
                continue
            check_room(place)
            fields[f"e:{place}"] = json.dumps([event.track, event.strength, event.at])
            if event.event_id is not None:
                fields[_id_field(event.event_id)] = place
                known.add(event.event_id)
            place += 1
        self.held, self.known = place, known
        self.fields |= {**fields, "events": place}
        return Added(place - held, len(events) - (place - held), place)


@dataclass(frozen=True)
class _Write:
    session_id: str
    events: Sequence[Logged]
    work: Callable[[_Draft], Any]
    future: Future[Any]


@dataclass(frozen=True)
class _Read:
    session_id: str
    future: Future[LiveSession]


class RedisSessions(Sessions):
    """Sessions in the Redis of `client`, which is closed with them. Redis 6.2 or later.

    Unlike those of SQLite, a session that nobody touched for `expires_s` is gone, events and all: Redis forgets it. So
    export before (`segue log export`). Telling touches a session, reading does not.
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
        """Give a session."""
        future: Future[LiveSession] = Future()
        self._put(_Read(session_id, future))
        return future

    def remove(self, session_id: str) -> Future[None]:
        """Forget a session and its events."""
        return self._written(session_id, (), _Draft.remove)

    def close(self) -> None:
        """Write what was told, and let go."""
        self._jobs.put(None)
        self._thread.join()
        self._client.close()

    def _written(self, session_id: str, events: Sequence[Logged], work: Callable[[_Draft], T]) -> Future[T]:
        future: Future[T] = Future()
        self._put(_Write(session_id, events, work, future))
        return future

    def _put(self, job: _Write | _Read) -> None:
        if _ID.fullmatch(job.session_id):
            self._jobs.put(job)
        else:  # no key is made of it
            job.future.set_exception(no_session())

    def _work(self) -> None:
        waiting: Iterator[list[_Write | _Read]] = batches(self._jobs)
        for jobs in waiting:
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            try:
                self._write([job for job in wanted if isinstance(job, _Write)])
                self._read([job for job in wanted if isinstance(job, _Read)])
            except Exception as error:  # a bug of ours keeps nobody waiting
                _refuse([job for job in wanted if not job.future.done()], error)

    def _write(self, jobs: Sequence[_Write]) -> None:
        """Do jobs in one transaction; where one session stands in the way of others, each session in its own."""
        if not jobs or self._tried(jobs):
            return
        apart: dict[str, list[_Write]] = {}
        for job in jobs:
            apart.setdefault(job.session_id, []).append(job)
        for each in apart.values():
            self._write_one(each)

    def _write_one(self, jobs: Sequence[_Write]) -> None:
        for _ in range(_TRIES):
            if self._tried(jobs):
                return
            time.sleep(_PAUSE_S * self._draw.random())
        _refuse(jobs, SegueError("too many write to this session at once: nothing was written; tell it again"))

    def _tried(self, jobs: Sequence[_Write]) -> bool:
        """Do jobs in one transaction and answer them; False = nothing was written: do them again, or apart."""
        try:
            answers = self._transact(jobs)
        except redis.WatchError as error:
            if error.__context__ is None:  # another service wrote one of the sessions, or one expired
                return False
            why = SegueError(
                "the connection to Redis broke before it answered: perhaps it was written, perhaps not; tell it again "
                "(what has an event_id counts once)"
            )
        except redis.ResponseError as error:  # refused before anything of it was done
            why = told(error)
            if type(why) is SegueError and len({job.session_id for job in jobs}) > 1:
                return False  # one key is none of ours, say; full or read-only is for all
        except redis.RedisError as error:
            why = told(error)
        except SegueError as error:
            why = error
        else:
            _answer(answers)
            return True
        _refuse(jobs, why)
        return True

    def _transact(self, jobs: Sequence[_Write]) -> list[tuple[_Write, Any]]:
        """Return what each job gave, or the SegueError that it failed with, once all of it is written."""
        answers: list[tuple[_Write, Any]] = []
        with self._client.pipeline() as to:
            drafts = self._drafts(to, jobs)
            for job in jobs:
                try:
                    answers.append((job, job.work(drafts[job.session_id])))
                except SegueError as error:
                    answers.append((job, error))
            to.multi()
            for session_id, draft in drafts.items():
                draft.tell(to, PREFIX + session_id, self._expires_ms)
            for said in to.execute(raise_on_error=False):
                if isinstance(said, redis.RedisError):
                    raise told(said) from said
        return answers

    def _drafts(self, to: redis.client.Pipeline, jobs: Sequence[_Write]) -> dict[str, _Draft]:
        """Watch the sessions of jobs, then look at them."""
        asked: dict[str, dict[str, None]] = {job.session_id: {} for job in jobs}
        for job in jobs:
            asked[job.session_id] |= {each.event_id: None for each in job.events if each.event_id is not None}
        watch: Callable[..., Any] = to.watch
        watch(*(PREFIX + session_id for session_id in asked))
        with self._client.pipeline(transaction=False) as looking:  # by another connection: this one would wait for each
            for session_id, ids in asked.items():
                looking.hmget(PREFIX + session_id, ["events", *(_id_field(each) for each in ids)])
            found = looking.execute()
        drafts = {}
        for (session_id, ids), (held, *places) in zip(asked.items(), found, strict=True):
            known = {each for each, place in zip(ids, places, strict=True) if place is not None}
            drafts[session_id] = _Draft(None if held is None else int(held), known)
        return drafts

    def _read(self, jobs: Sequence[_Read]) -> None:
        if not jobs:
            return
        try:
            found = _fields(self._client, [job.session_id for job in jobs])
        except redis.RedisError as error:
            _refuse(jobs, told(error))
            return
        answers: list[tuple[_Read, Any]] = []
        for job, fields in zip(jobs, found, strict=True):
            try:
                answers.append((job, _session(job.session_id, fields)))
            except SegueError as error:
                answers.append((job, error))
        _answer(answers)


def sessions_in_redis(client: redis.Redis) -> Iterator[LiveSession]:
    """Yield all sessions of a Redis that are not over, by when they began, read only.

    Raises:
        SegueError: Redis fails, or a session is damaged.
    """
    try:
        began: dict[str, float] = {}
        for ids in _chunks(_ids(client)):
            with client.pipeline(transaction=False) as looking:
                for each in ids:
                    looking.hget(PREFIX + each, "created_at")
                told_at = looking.execute()
            began |= {each: float(at) for each, at in zip(ids, told_at, strict=True) if at is not None}
        for ids in _chunks(sorted(began, key=lambda each: (began[each], each))):
            for session_id, fields in zip(ids, _fields(client, ids), strict=True):
                if fields:  # else it has expired meanwhile
                    yield _session(session_id, fields)
    except redis.RedisError as error:
        raise told(error) from error


def _ids(client: redis.Redis) -> Iterator[str]:
    for key in client.scan_iter(match=f"{PREFIX}*", count=_CHUNK):
        session_id = bytes(key).decode("utf-8", "replace").removeprefix(PREFIX)
        if _ID.fullmatch(session_id):
            yield session_id


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield chunk


def _fields(client: redis.Redis, ids: Sequence[str]) -> list[Any]:
    """Return the fields of each session, or the error of Redis in its place."""
    with client.pipeline(transaction=False) as looking:
        for each in ids:
            looking.hgetall(PREFIX + each)
        return looking.execute(raise_on_error=False)


def _session(session_id: str, fields: dict[bytes, bytes] | redis.RedisError) -> LiveSession:
    if isinstance(fields, redis.RedisError):
        raise told(fields) from fields
    if not fields:
        raise no_session()
    try:
        ids = {int(place): _text(name[2:]) for name, place in fields.items() if name.startswith(b"i:")}
        events = []
        for place in range(int(fields[b"events"])):
            track, strength, at = json.loads(fields[b"e:%d" % place])
            events.append(Logged(str(track), int(strength), float(at), ids.get(place)))
        return LiveSession(session_id, _text(fields[b"model"]), float(fields[b"created_at"]), tuple(events))
    except (KeyError, ValueError, TypeError) as error:
        raise SegueError("this session is damaged in Redis; begin a new one") from error


def _answer(answers: Iterable[tuple[_Write | _Read, Any]]) -> None:
    for job, value in answers:
        if isinstance(value, SegueError):
            job.future.set_exception(value)
        else:
            job.future.set_result(value)


def _refuse(jobs: Iterable[_Write | _Read], why: Exception) -> None:
    for job in jobs:
        job.future.set_exception(why)


def _id_field(event_id: str) -> bytes:
    return _bytes(f"i:{event_id}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(found: bytes) -> str:
    return found.decode("utf-8", "surrogatepass")
