"""The store of live sessions that a path or a URL names: a file of SQLite, or a Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segue.errors import InputError
from segue.serving.sessions.redis_address import redis_address
from segue.serving.sessions.sqlite import SqliteSessions, stored_sessions
from segue.serving.sessions.store import LiveSession, Sessions


def check_place(path_or_url: str | Path, *, durable: bool) -> None:
    """Check the name of a store before anything is opened.

    Raises:
        InputError: a URL of another form or with a password, `durable` for a Redis, or no package `redis`.
    """
    if redis_address(path_or_url) is None:
        return
    try:
        import redis  # noqa: F401 - only whether it is installed
    except ImportError as error:
        raise InputError("sessions in Redis need the package redis: pip install 'segue[redis]'") from error
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
    from segue.serving.sessions.redis_client import redis_client

    return RedisSessions(redis_client(address), expires_s=expires_s)


def kept_sessions(path_or_url: str | Path) -> Iterator[LiveSession]:
    """Yield all sessions of a file or a Redis in the order in which they began, without writing anything.

    Raises:
        InputError, FormatError, SegueError: as for `open_sessions`; a file must exist.
    """
    check_place(path_or_url, durable=False)
    address = redis_address(path_or_url)
    if address is None:
        yield from stored_sessions(Path(path_or_url))
        return
    from segue.serving.sessions.redis import sessions_in_redis
    from segue.serving.sessions.redis_client import redis_client

    with redis_client(address) as client:
        yield from sessions_in_redis(client)
