"""One session within a transaction of Redis, and the fields of its hash."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from segue.errors import SegueError
from segue.serving.sessions.redis_client import segue_error
from segue.serving.sessions.store import Added, LiveSession, Logged, check_room, no_session


@dataclass
class Draft:
    """A session as Redis has it, then as jobs change it."""

    num_events: int | None
    """Number of events; None = there is no such session."""
    event_ids: set[str]
    """The event ids that it has, of those in the jobs."""
    fields: dict[Any, Any] = field(default_factory=dict)
    """Fields to write."""
    removed: bool = False

    def begin(self, model: str, events: Sequence[Logged]) -> None:
        """Begin the session with these events."""
        if self.num_events is not None:
            raise SegueError("there is such a session already; begin another one")
        self._append(0, events)
        self.fields |= {"model": _bytes(model), "created_at": repr(time.time())}

    def add(self, events: Sequence[Logged]) -> Added:
        """Append the events that it does not have yet; if there is no room for all, append none."""
        if self.num_events is None:
            raise no_session()
        return self._append(self.num_events, events)

    def remove(self) -> None:
        """Delete the session."""
        if self.num_events is None:
            raise no_session()
        self.num_events, self.event_ids, self.fields, self.removed = None, set(), {}, True

    def queue_changes(self, pipeline: redis.client.Pipeline, key: str, expires_ms: int) -> None:
        """Queue the commands that write the changes."""
        if self.removed:
            pipeline.delete(key)
        if self.fields:
            pipeline.hset(key, mapping=self.fields)
            pipeline.pexpire(key, expires_ms)

    def _append(self, num_before: int, events: Sequence[Logged]) -> Added:
        fields: dict[str | bytes, str | int] = {}
        event_ids, num_events = set(self.event_ids), num_before
        for event in events:
            if event.event_id in event_ids:
                continue
            check_room(num_events)
            fields[f"e:{num_events}"] = json.dumps([event.track, event.strength, event.at])
            if event.event_id is not None:
                fields[id_field(event.event_id)] = num_events
                event_ids.add(event.event_id)
            num_events += 1
        self.num_events, self.event_ids = num_events, event_ids
        self.fields |= {**fields, "events": num_events}
        accepted = num_events - num_before
        return Added(accepted, len(events) - accepted, num_events)


def id_field(event_id: str) -> bytes:
    """Return the field that has the position of the event with this id."""
    return _bytes(f"i:{event_id}")


def read_session(session_id: str, fields: dict[bytes, bytes] | redis.RedisError) -> LiveSession:
    """Return the session of a hash.

    Raises:
        SegueError: `fields` is an error, or the hash is empty or damaged.
    """
    if isinstance(fields, redis.RedisError):
        raise segue_error(fields) from fields
    if not fields:
        raise no_session()
    try:
        ids = {int(position): _text(name[2:]) for name, position in fields.items() if name.startswith(b"i:")}
        events = []
        for position in range(int(fields[b"events"])):
            track, strength, at = json.loads(fields[b"e:%d" % position])
            events.append(Logged(str(track), int(strength), float(at), ids.get(position)))
        return LiveSession(session_id, _text(fields[b"model"]), float(fields[b"created_at"]), tuple(events))
    except (KeyError, ValueError, TypeError) as error:
        raise SegueError("this session is damaged in Redis; begin a new one") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
