"""Live sessions in Redis, for services on several machines.

A session is one hash, `segue:1:ID`, so that all of it expires or is evicted at once:

| field | value |
|---|---|
| `model`, `created_at`, `events` | text; UTC seconds; number of events |
| `e:POSITION` | JSON: track, strength, at |
| `i:EVENT_ID` | the position of the event with this id |
| `listener`, `touched_at` | text; UTC seconds of the last write; only if a listener is known |

The sessions of a listener stay in Redis until they are deleted. `segue:1:listener:HASH` has their ids, sorted by when
they began; HASH is the SHA-256 of the listener's id, so that no text of a client is part of a key.

All jobs that wait are done in one transaction (WATCH, read, MULTI ... EXEC). Results are given after the answer of
Redis; whether they survive a crash of Redis depends on its configuration (`appendonly`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from segue.errors import SegueError
from segue.serving.sessions.redis_client import segue_error
from segue.serving.sessions.store import (
    Added,
    Answer,
    LiveSession,
    Logged,
    PastSessions,
    SessionJob,
    Sessions,
    fresh_events,
    last_plays,
    no_listener,
    no_session,
)

PREFIX: Final = "segue:1:"
"""Prefix of every key; the number is the version of the format."""
_ID: Final = re.compile(r"[0-9a-f]{1,128}")
_TRIES: Final = 200
"""Most tries to write a session that other services write too; a try fails only where another one succeeds."""
_PAUSE_S: Final = 0.01
"""Longest pause between two tries."""
_HEAD: Final = ("events", "listener", "touched_at")
"""Fields that a job reads, beside those of its event ids."""
_LONGEST_S: Final = 100 * 366 * 24 * 3600.0
"""Longest life of a session, so that its milliseconds fit into 64 bits."""
_CHUNK: Final = 500
"""Sessions that an export reads at once."""
_PAST_CHUNK: Final = 50
"""Sessions of a listener that are read at once: those of some 1,000 plays."""


class RedisSessions(Sessions):
    """Sessions in the Redis of `client`, which `close` closes too. Redis 6.2 or later.

    Redis deletes a session without a listener `expires_s` after its last write, with its events, unlike SQLite, which
    keeps the events. So export it before then (`segue log export`).
    """

    def __init__(self, client: redis.Redis, *, expires_s: float = 24 * 3600.0) -> None:
        self._client, self._expires_s = client, expires_s
        self._expires_ms = max(1, int(1000.0 * min(expires_s, _LONGEST_S)))
        super().__init__()

    def close(self) -> None:
        """Finish all jobs, then close the connection."""
        super().close()
        self._client.close()

    def _done(self, jobs: Sequence[SessionJob]) -> Iterator[Answer]:
        yield from ((job, no_session()) for job in jobs if not _ID.fullmatch(job.session_id))
        jobs = [job for job in jobs if _ID.fullmatch(job.session_id)]  # an id of another form is never part of a key
        yield from self._written([job for job in jobs if job.writes])
        yield from self._read([job for job in jobs if not job.writes])

    def _written(self, jobs: Sequence[SessionJob]) -> Iterator[Answer]:
        """Do jobs in one transaction; if a session makes it fail, do each session in its own."""
        if not jobs:
            return
        answers = self._tried(jobs)
        if answers is not None:
            yield from answers
            return
        for session_id in dict.fromkeys(job.session_id for job in jobs):
            yield from self._written_alone([job for job in jobs if job.session_id == session_id])

    def _written_alone(self, jobs: Sequence[SessionJob]) -> list[Answer]:
        for _ in range(_TRIES):
            answers = self._tried(jobs)
            if answers is not None:
                return answers
            time.sleep(_PAUSE_S * random.random())
        why = SegueError("too many services write to this session at once: nothing was written; send it again")
        return [(job, why) for job in jobs]

    def _tried(self, jobs: Sequence[SessionJob]) -> list[Answer] | None:
        """Return the answers of jobs that were done in one transaction; None = nothing was written, try again."""
        try:
            return self._transact(jobs)
        except redis.WatchError as error:
            if error.__context__ is None:  # another service wrote one of the sessions, or one expired
                return None
            why = SegueError(
                "the connection to Redis broke before it answered: perhaps it was written, perhaps not; send it again "
                "(events with an event_id count once)"
            )
        except redis.RedisError as error:
            why = segue_error(error)
            several = len({job.session_id for job in jobs}) > 1
            if several and type(why) is SegueError and isinstance(error, redis.ResponseError):
                return None  # refused, perhaps for one key only, such as one of another type
        except SegueError as error:
            why = error
        return [(job, why) for job in jobs]

    def _transact(self, jobs: Sequence[SessionJob]) -> list[Answer]:
        """Return the result of each job, or the SegueError that it failed with, after all is written."""
        with self._client.pipeline() as pipeline:
            drafts = self._drafts(pipeline, jobs)
            answers: list[Answer] = [(job, _outcome(job.work, drafts[job.session_id])) for job in jobs]
            pipeline.multi()
            for session_id, draft in drafts.items():
                draft.queue_changes(pipeline, session_id, self._expires_ms)
            for result in pipeline.execute(raise_on_error=False):
                if isinstance(result, redis.RedisError):
                    raise segue_error(result) from result
        return answers

    def _drafts(self, pipeline: redis.client.Pipeline, jobs: Sequence[SessionJob]) -> dict[str, _Draft]:
        """Watch the sessions of jobs, then read them."""
        event_ids: dict[str, dict[str, None]] = {job.session_id: {} for job in jobs}
        for job in jobs:
            event_ids[job.session_id] |= {each.event_id: None for each in job.events if each.event_id is not None}
        watch: Callable[..., Any] = pipeline.watch
        watch(*(PREFIX + session_id for session_id in event_ids))
        with self._client.pipeline(transaction=False) as reads:  # the watching connection could only read one by one
            for session_id, ids in event_ids.items():
                reads.hmget(PREFIX + session_id, [*_HEAD, *(_id_field(each) for each in ids)])
            rows = reads.execute()
        drafts = {}
        for (session_id, ids), (num_events, listener, touched_at, *positions) in zip(
            event_ids.items(), rows, strict=True
        ):
            present = {each for each, position in zip(ids, positions, strict=True) if position is not None}
            draft = _Draft(None if num_events is None else int(num_events), present)
            draft.listener = None if listener is None else _text(listener)
            draft.expired = _expired(touched_at, self._expires_s)
            drafts[session_id] = draft
        return drafts

    def _read(self, jobs: Sequence[SessionJob]) -> list[Answer]:
        if not jobs:
            return []
        try:
            hashes = _hashes(self._client, [job.session_id for job in jobs])
        except redis.RedisError as error:
            why = segue_error(error)
            return [(job, why) for job in jobs]
        stored = [_Stored(job.session_id, fields, self._expires_s) for job, fields in zip(jobs, hashes, strict=True)]
        return [(job, _outcome(job.work, each)) for job, each in zip(jobs, stored, strict=True)]

    def _past(self, listener: str, before: tuple[float, str]) -> PastSessions:
        try:
            return last_plays(session.events for session in self._newest_first(listener, before))
        except redis.RedisError as error:
            raise segue_error(error) from error

    def _newest_first(self, listener: str, before: tuple[float, str]) -> Iterator[LiveSession]:
        began: Any = self._client.zrange(_listener_key(listener), 0, -1, desc=True, withscores=True)
        for ids in _chunks((each for member, at in began if (at, each := _text(member)) < before), _PAST_CHUNK):
            for session_id, fields in zip(ids, _hashes(self._client, ids), strict=True):
                if fields:  # else Redis has evicted it
                    yield _Stored(session_id, fields).read()

    def _forget(self, listener: str) -> None:
        key = _listener_key(listener)
        for _ in range(_TRIES):
            try:
                with self._client.pipeline() as pipeline:
                    watch: Callable[..., Any] = pipeline.watch
                    watch(key)
                    members: Any = self._client.zrange(key, 0, -1)
                    if not members:
                        raise no_listener()
                    pipeline.multi()
                    pipeline.delete(key, *(PREFIX + _text(member) for member in members))
                    pipeline.execute()
                return
            except redis.WatchError as error:
                if error.__context__ is not None:
                    raise segue_error(redis.ConnectionError()) from error
                time.sleep(_PAUSE_S * random.random())  # another service began a session of this listener
            except redis.RedisError as error:
                raise segue_error(error) from error
        raise SegueError("sessions of this listener begin all the time: nothing was deleted; send it again")


def _outcome(work: Callable[[Any], Any], session: _Draft | _Stored) -> Any:
    """Return the result of a job, or the error that it failed with."""
    try:
        return work(session)
    except SegueError as error:
        return error


@dataclass
class _Draft:
    """A session as Redis has it, then as jobs change it."""

    num_events: int | None
    """Number of events; None = there is no such session."""
    event_ids: set[str]
    """The event ids that it has, of those in the jobs."""
    listener: str | None = None
    expired: bool = False
    """Whether it ended, though Redis has it."""
    fields: dict[Any, Any] = field(default_factory=dict)
    """Fields to write."""
    began_at: float | None = None
    """When it began, if it began now."""
    removed: bool = False
    removed_listener: str | None = None

    def begin(self, model: str, events: Sequence[Logged], listener: str | None) -> None:
        """Begin the session with these events."""
        if self.num_events is not None:
            raise SegueError("there is such a session already; begin another one")
        now = time.time()
        self._append(0, events)
        self.listener, self.began_at, self.expired = listener, now, False
        self.fields |= {"model": _bytes(model), "created_at": repr(now)}
        if listener is not None:
            self.fields["listener"] = _bytes(listener)

    def add(self, events: Sequence[Logged]) -> Added:
        """Append the events that it does not have yet; if there is no room for all, append none."""
        return self._append(self._checked_events(), events)

    def remove(self) -> None:
        """Delete the session."""
        self._checked_events()
        self.num_events, self.event_ids, self.fields, self.began_at, self.removed = None, set(), {}, None, True
        self.listener, self.removed_listener = None, self.removed_listener or self.listener

    def queue_changes(self, pipeline: redis.client.Pipeline, session_id: str, expires_ms: int) -> None:
        """Queue the commands that write the changes."""
        key = PREFIX + session_id
        if self.removed:
            pipeline.delete(key)
            if self.removed_listener is not None:
                pipeline.zrem(_listener_key(self.removed_listener), session_id)
        if self.fields and self.listener is None:
            pipeline.hset(key, mapping=self.fields)
            pipeline.pexpire(key, expires_ms)
        elif self.fields and self.listener is not None:
            pipeline.hset(key, mapping=self.fields | {"touched_at": repr(time.time())})
            if self.began_at is not None:
                pipeline.zadd(_listener_key(self.listener), {session_id: self.began_at})

    def _checked_events(self) -> int:
        """Return the number of events; NoSessionError if there is no such session, or it has expired."""
        if self.num_events is None or self.expired:
            raise no_session()
        return self.num_events

    def _append(self, num_before: int, events: Sequence[Logged]) -> Added:
        fresh = fresh_events(events, self.event_ids, num_before)
        for position, event in enumerate(fresh, num_before):
            self.fields[f"e:{position}"] = json.dumps([event.track, event.strength, event.at])
            if event.event_id is not None:
                self.fields[_id_field(event.event_id)] = position
                self.event_ids.add(event.event_id)
        self.num_events = num_before + len(fresh)
        self.fields["events"] = self.num_events
        return Added(len(fresh), len(events) - len(fresh), self.num_events)


@dataclass(frozen=True)
class _Stored:
    """A session as Redis has it."""

    session_id: str
    fields: dict[bytes, bytes] | redis.RedisError
    """Its hash, empty where there is none, or the error of reading it."""
    expires_s: float | None = None
    """After how many seconds without a write it is refused; None = never."""

    def read(self) -> LiveSession:
        """Return the session.

        Raises:
            SegueError: it could not be read, is missing, or is damaged.
        """
        fields = self.fields
        if isinstance(fields, redis.RedisError):
            raise segue_error(fields) from fields
        if not fields or (self.expires_s is not None and _expired(fields.get(b"touched_at"), self.expires_s)):
            raise no_session()
        try:
            ids = {int(position): _text(name[2:]) for name, position in fields.items() if name.startswith(b"i:")}
            events = []
            for position in range(int(fields[b"events"])):
                track, strength, at = json.loads(fields[b"e:%d" % position])
                events.append(Logged(str(track), int(strength), float(at), ids.get(position)))
            model, created_at, listener = _text(fields[b"model"]), float(fields[b"created_at"]), fields.get(b"listener")
            whose = None if listener is None else _text(listener)
            return LiveSession(self.session_id, model, created_at, tuple(events), whose)
        except (KeyError, ValueError, TypeError) as error:
            raise SegueError("this session is damaged in Redis; begin a new one") from error


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
                    yield _Stored(session_id, fields).read()
    except redis.RedisError as error:
        raise segue_error(error) from error


def _ids(client: redis.Redis) -> Iterator[str]:
    for key in client.scan_iter(match=f"{PREFIX}*", count=_CHUNK):
        session_id = bytes(key).decode("utf-8", "replace").removeprefix(PREFIX)
        if _ID.fullmatch(session_id):
            yield session_id


def _chunks(ids: Iterable[str], size: int = _CHUNK) -> Iterator[list[str]]:
    remaining = iter(ids)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def _hashes(client: redis.Redis, ids: Sequence[str]) -> list[Any]:
    """Return the fields of each session, or an error of Redis instead of them."""
    with client.pipeline(transaction=False) as reads:
        for each in ids:
            reads.hgetall(PREFIX + each)
        return reads.execute(raise_on_error=False)


def _listener_key(listener: str) -> str:
    """Return the key that has the ids of a listener's sessions."""
    return f"{PREFIX}listener:{hashlib.sha256(_bytes(listener)).hexdigest()}"


def _expired(touched_at: bytes | None, expires_s: float) -> bool:
    """Return whether a session that Redis keeps is over; False for one that Redis deletes itself."""
    return touched_at is not None and float(touched_at) < time.time() - expires_s


def _id_field(event_id: str) -> bytes:
    """Return the field that has the position of the event with this id."""
    return _bytes(f"i:{event_id}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
