"""The store of live sessions that a path or a URL names: a file of SQLite, or a Redis."""

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


def check_place(path_or_url: str | Path, *, durable: bool) -> None:
    """Check the name of a store before anything is opened.

    Raises:
        InputError: a URL of another form or with a password, `durable` for a Redis, or no package `redis`.
    """
    if redis_address(path_or_url) is None:
        return
    _check_package()
    if durable:
        raise InputError(
            "--durable is for a file; Redis syncs as its own configuration says: appendonly yes, appendfsync always"
        )


def open_sessions(path_or_url: str | Path, *, expires_s: float, durable: bool) -> Sessions:
    """Return the sessions of a file, created where it is missing, or of a Redis.

    Raises:
        InputError: the name is wrong, or the file cannot be created. FormatError: the file is not a store of sessions.
        SegueError: Redis cannot be reached.
    """
    check_place(path_or_url, durable=durable)
    address = redis_address(path_or_url)
    if address is None:
        return SqliteSessions(Path(path_or_url), expires_s=expires_s, durable=durable)
    from segue.serving.sessions.redis import RedisSessions

    return RedisSessions(_client(address), expires_s=expires_s)


def kept_sessions(path_or_url: str | Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file or a Redis in the order in which they began, without writing anything.

    Raises:
        InputError, FormatError, SegueError: as for `open_sessions`; a file must exist.
    """
    address = redis_address(path_or_url)
    if address is None:
        yield from stored_sessions(Path(path_or_url))
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
        import redis  # noqa: F401 - only whether it is installed
    except ImportError as error:
        raise InputError("sessions in Redis need the package redis: pip install 'segue[redis]'") from error
