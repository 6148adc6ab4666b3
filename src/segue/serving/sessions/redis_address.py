"""The address of a Redis in `--sessions`; its password comes from the environment only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from segue.errors import InputError

PASSWORD_VARIABLE: Final = "SEGUE_REDIS_PASSWORD"
SCHEMES: Final = ("redis", "rediss", "unix")
_PORT: Final = 6379
_FORMS: Final = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS) or unix:///PATH?db=DB"


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis listens: at a host and port, or (`path`) at a socket of this machine."""

    scheme: str
    host: str
    port: int
    path: str
    database: int
    user: str | None

    def __str__(self) -> str:
        """Return the address without the user, to show it."""
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.database}"


def redis_address(path_or_url: str | Path) -> RedisAddress | None:
    """Return the address of a Redis; None for the path of a file.

    Errors never quote the text, which may have a password in it.

    Raises:
        InputError: a URL with a password, of another scheme, or of another form.
    """
    scheme, separator, _ = str(path_or_url).partition("://")
    if not separator:
        return None
    if scheme.lower() not in SCHEMES:
        raise InputError(f"sessions are kept in a file or in Redis; name a path, or {_FORMS}")
    try:
        parts = urlsplit(str(path_or_url))
        _check_no_password(parts)
        return _address(parts)
    except ValueError as error:
        raise InputError(f"the URL for sessions is not understood; write {_FORMS}") from error


def _check_no_password(parts: SplitResult) -> None:
    """Refuse a password, also in the query, or where a / ? # in it ends the part of the URL with the host."""
    beyond = parts.query + parts.fragment + ("" if parts.scheme == "unix" else parts.path)
    if parts.password is not None or "@" in beyond or "password" in beyond.lower():
        raise InputError(
            "a URL for sessions holds no password, since everybody on this machine can read arguments; "
            f"leave it out and put it into the environment variable {PASSWORD_VARIABLE}"
        )


def _address(parts: SplitResult) -> RedisAddress:
    """Return the address of a URL; ValueError if it has none."""
    user = unquote(parts.username) if parts.username else None
    if parts.fragment:
        raise ValueError
    if parts.scheme == "unix":
        name, _, database = parts.query.partition("=")
        if parts.hostname or parts.port or not parts.path.startswith("/") or name not in ("", "db"):
            raise ValueError
        return RedisAddress("unix", "", 0, unquote(parts.path), _number(database), user)
    if not parts.hostname or parts.query:
        raise ValueError
    port = _PORT if parts.port is None else parts.port
    return RedisAddress(parts.scheme, parts.hostname, port, "", _number(parts.path.removeprefix("/")), user)


def _number(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text or "0")
