"""Options of the service, and which of them are refused."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
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
    """Address to listen on; an address that other machines can reach needs a token."""
    port: int = 8765
    """Port to listen on."""
    allow_host: tuple[str, ...] = ()
    """Further host name that requests may use; repeat the option."""
    token_file: str | Path | None = None
    """File with the token that requests must send; default: environment variable SEGUE_TOKEN."""
    insecure: bool = False
    """Allow other machines without a token."""
    sessions: str | Path = "segue-sessions.sqlite"
    """File of live sessions, created if missing; or redis://HOST:PORT/DB (password: SEGUE_REDIS_PASSWORD)."""
    expires_h: float = 24.0
    """Hours after which an unused session expires."""
    durable: bool = False
    """Sync every write to disk, so that a power cut loses no event."""
    threads: int = 2
    """Threads for ranking."""
    index: bool = False
    """Rank only candidates in the cells nearest to a session; for exports made with --index."""
    probes: int = 32
    """Number of cells to search: more are more accurate and slower."""

    def __post_init__(self) -> None:
        """Check `sessions` and `probes`."""
        check_place(self.sessions, durable=self.durable)
        if self.probes < 1:
            raise InputError(f"--probes is {self.probes}, expected at least 1")


def given_token(file: str | Path | None) -> str | None:
    """Return the token of a file, else of the environment; None = the service needs none.

    Raises:
        InputError: the file cannot be read, or the token is short enough to guess.
    """
    if file is not None:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token file {file} cannot be read ({error})") from error
    else:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        raise InputError(f"a token has {_SHORTEST_TOKEN} or more characters of ASCII without spaces")
    return token


def check_reach(options: ServeOptions, token: str | None) -> None:
    """Check that other machines cannot reach the service without a token.

    Raises:
        InputError: the address is not a loopback address, and there is neither a token nor `insecure`.
    """
    try:
        local = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        local = False
    if not local and token is None and not options.insecure:
        raise InputError(
            f"--host {options.host} can be reached from other machines: give a token by --token-file FILE or "
            f"{TOKEN_VARIABLE}, or take --insecure if everybody who reaches it may use it"
        )
