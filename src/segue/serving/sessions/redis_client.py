"""A client of Redis that connects again by itself, and its errors as ours."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from segue.errors import SegueError
from segue.serving.sessions.redis_address import PASSWORD_VARIABLE, RedisAddress
from segue.serving.sessions.store import FullStoreError, ReadOnlyStoreError

_ANSWER_S: Final = 5.0
"""Seconds to wait for a connection or an answer of Redis."""
_REFUSED: Final = re.compile(r"\b(OOM|READONLY|MISCONF|NOREPLICAS|NOPERM|NOAUTH|WRONGPASS|LOADING)\b")


def redis_client(address: RedisAddress) -> redis.Redis:
    """Return a client that has reached `address`, with the password of the environment if there is one.

    After a connection breaks, the next command connects again. A single command is tried twice, a transaction once.

    Raises:
        SegueError: it cannot be reached, or refuses user or password.
    """
    reach: dict[str, Any] = {"unix_socket_path": address.path}
    if address.scheme != "unix":
        reach = {"host": address.host, "port": address.port, "socket_keepalive": True}
    if address.scheme == "rediss":
        reach |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    client = redis.Redis(
        **reach,
        db=address.database,
        username=address.user,
        password=os.environ.get(PASSWORD_VARIABLE) or None,
        protocol=2,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        health_check_interval=0,  # a check may connect again between WATCH and EXEC, which then watches nothing
        retry=Retry(NoBackoff(), 1),
    )
    try:
        client.ping()
    except redis.RedisError as error:
        client.close()
        raise SegueError(f"{address}: {segue_error(error)}") from error
    return client


def segue_error(error: redis.RedisError) -> SegueError:
    """Return a SegueError that says what to do for an error of Redis.

    It does not quote the error, into which the client puts the command, with the tracks of listeners.
    """
    match = _REFUSED.search(str(error).rpartition("caused error: ")[2])
    code = match[1] if match else ""
    if code == "OOM" or isinstance(error, redis.OutOfMemoryError):
        return FullStoreError("the memory of Redis is full: nothing was written; make room, then send it again")
    if code in ("READONLY", "MISCONF", "NOREPLICAS") or isinstance(error, redis.ReadOnlyError):
        says = f"Redis says {code or 'READONLY'}"
        return ReadOnlyStoreError(f"sessions cannot be written ({says}); stored sessions can be read")
    if code == "LOADING" or isinstance(error, redis.BusyLoadingError):
        return SegueError("Redis still loads its data; try again in a moment")
    if code == "NOPERM" or isinstance(error, redis.exceptions.NoPermissionError):
        return SegueError("this user of Redis may not write sessions; it needs, say, ~segue:1:* and +@all -@admin")
    if code in ("NOAUTH", "WRONGPASS") or isinstance(error, redis.AuthenticationError):
        return SegueError(f"Redis refuses the user or the password; put the password into {PASSWORD_VARIABLE}")
    if isinstance(error, redis.TimeoutError):
        return SegueError(f"Redis did not answer for {_ANSWER_S:.0f} s; check that it runs, then send it again")
    if isinstance(error, redis.ConnectionError):
        why = f"Redis cannot be reached ({_reason(error)})"
        return SegueError(f"{why}; start it, then send it again; the service reconnects by itself")
    return SegueError(f"Redis failed ({type(error).__name__}); send it again")


def _reason(error: BaseException) -> str:
    """Return the reason that the operating system gave, if any."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError):
            return link.strerror or type(link).__name__
        link = link.__cause__ or link.__context__
    return "the connection broke"
