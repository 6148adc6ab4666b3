"""The place for live sessions that a path or a URL names: a file of SQLite, or a Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from segue.errors import InputError
from segue.serving.sessions.redis_address import RedisAddress, redis_address
from segue.serving.sessions.sqlite import SqliteSessions, stored_sessions
from segue.serving.sessions.store import LiveSession, Sessions

if TYPE_CHECKING:
    import redis


def check_place(place: str | Path, *, durable: bool) -> None:
    """Refuse a place that cannot be, before anything is made.

    Raises:
        InputError: a URL that is not understood or holds a password, or the package `redis` is missing.
    """
    if redis_address(place) is None:
        return
    _check_package()
    if durable:
        raise InputError(
            "--durable is for a file; Redis syncs as its own configuration says: appendonly yes, appendfsync always"
        )


def open_sessions(place: str | Path, *, expires_s: float, durable: bool) -> Sessions:
    """Return the sessions of a file, made where it is missing, or of a Redis.

    Raises:
        InputError, FormatError: `place` is not what it should be. SegueError: Redis cannot be reached.
    """
    check_place(place, durable=durable)
    address = redis_address(place)
    if address is None:
        return SqliteSessions(Path(place), expires_s=expires_s, durable=durable)
    from segue.serving.sessions.redis import RedisSessions

    return RedisSessions(_client(address), expires_s=expires_s)


def kept_sessions(place: str | Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file or a Redis, by when they began, read only.

    Raises:
        InputError, FormatError: `place` is not what it should be. SegueError: Redis cannot be reached.
    """
    address = redis_address(place)
    if address is None:
        yield from stored_sessions(Path(place))
        return
    _check_package()
    from segue.serving.sessions.redis import sessions_in_redis

    client = _client(address)
    try:
        yield from sessions_in_redis(client)
    finally:
        client.close()


def _client(address: RedisAddress) -> redis.Redis:
    from segue.serving.sessions.redis_client import redis_client

    return redis_client(address)


def _check_package() -> None:
    try:
        import redis  # noqa: F401 - whether it is there
    except ImportError as error:
        raise InputError("sessions in Redis need the package redis: pip install 'segue[redis]'") from error
