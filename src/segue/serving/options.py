"""Options of the service, and which of them are refused."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from segue.errors import InputError
from segue.serving.sessions.places import check_place

TOKEN_VARIABLE: Final = "SEGUE_TOKEN"
_SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True)
class ServeOptions:
    """Options of the service.

    Raises:
        InputError: `sessions` is not a URL that the service reads, has a password in it, or needs a missing package.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    sessions: str | Path = "segue-sessions.sqlite"
    """A file, or the URL of a Redis without its password."""
    allow_hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    threads: int = 2
    expires_h: float = 24.0
    durable: bool = False
    probes: int = 0
    """Cells of the index that are searched; 0 = all candidates are scanned."""

    def __post_init__(self) -> None:
        """Check `sessions`."""
        check_place(self.sessions, durable=self.durable)


def given_token(file: Path | None) -> str | None:
    """Return the token of a file, else of the environment; None = the service needs none.

    Raises:
        InputError: the file cannot be read, or the token is short enough to guess.
    """
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token file {file} cannot be read ({error})") from error
    else:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        raise InputError(f"a token has {_SHORTEST_TOKEN} or more characters of ASCII without spaces")
    return token


def check_reach(options: ServeOptions) -> None:
    """Check that other machines cannot reach the service without a token.

    Raises:
        InputError: the address is not a loopback address, and there is neither a token nor `insecure`.
    """
    try:
        local = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        local = False
    if not local and options.token is None and not options.insecure:
        raise InputError(
            f"--host {options.host} can be reached from other machines: give a token by --token-file FILE or "
            f"{TOKEN_VARIABLE}, or take --insecure if everybody who reaches it may use it"
        )
