"""Verbs about serving: export, serve, replay, log export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App

from segue.cli.parameters import Flat, Shown
from segue.cli.tables import facts_text
from segue.errors import InputError
from segue.output import json_text


@dataclass(frozen=True)
class Reach:
    """Addresses and access of the service."""

    host: str = "127.0.0.1"
    """Address to listen on; an address that other machines can reach needs a token."""
    port: int = 8765
    """Port to listen on."""
    allow_host: tuple[str, ...] = ()
    """Further host name that requests may use; repeat the option."""
    token_file: Path | None = None
    """File with the token that requests must send; default: environment variable SEGUE_TOKEN."""
    insecure: bool = False
    """Allow other machines without a token."""


@dataclass(frozen=True)
class SessionStorage:
    """Storage of live sessions."""

    sessions: str = "segue-sessions.sqlite"
    """File of live sessions, created if missing; or redis://HOST:PORT/DB (password: SEGUE_REDIS_PASSWORD)."""
    expires_h: float = 24.0
    """Hours after which an unused session expires."""
    durable: bool = False
    """Sync every write to disk, so that a power cut loses no event."""


@dataclass(frozen=True)
class Ranks:
    """How tracks are ranked."""

    threads: int = 2
    """Threads for ranking."""
    index: bool = False
    """Rank only candidates in the cells nearest to a session; for exports made with --index."""
    probes: int = 32
    """Number of cells to search: more are more accurate and slower."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    app.command(export)
    app.command(serve)
    app.command(replay)
    log = App(name="log", help="Sessions of the service.")
    log.command(export_log, name="export")
    app.command(log)


def export(
    run: Path,
    out: Path,
    /,
    *,
    name: str = "",
    overwrite: bool = False,
    index: bool = False,
    json: bool = False,
    terminal: Shown,
) -> None:
    """Export a run to files that are served without torch: ONNX graphs, arrays, texts, and a manifest of hashes.

    Args:
        run: a trained run.
        out: folder to write.
        name: name of the model in the service; default: the recipe's.
        overwrite: replace an existing export.
        index: also compute cells of the track space, for segue serve --index; useful from a million tracks on.
        json: print one JSON document.
    """
    from segue import api

    manifest = api.export(run, out, name=name, overwrite=overwrite, index=index, progress=terminal)
    terminal.close()
    size = sum(facts.bytes for facts in manifest.files.values())
    facts = {
        "out": str(out),
        "name": manifest.name,
        "tracks": manifest.facts.num_tracks,
        "candidates": manifest.facts.num_candidates,
        "bytes": size,
    }
    print(json_text(facts) if json else facts_text(facts))


def serve(
    *paths: Path,
    reach: Annotated[Reach | None, Flat] = None,
    storage: Annotated[SessionStorage | None, Flat] = None,
    ranks: Annotated[Ranks | None, Flat] = None,
    terminal: Shown,
) -> None:
    """Serve the next track over HTTP on this machine, from runs or exports; the first is the default.

    A run is first exported to its folder `served`. Ctrl-C ends the service. After SIGHUP, or when a new export replaces
    an old one, it reloads its exports without losing a request. Schema: /schema/openapi.json.

    Args:
        paths: runs or exports.
    """
    from segue.api.serve import serve as run
    from segue.serving.options import ServeOptions, given_token

    reach, storage, ranks = reach or Reach(), storage or SessionStorage(), ranks or Ranks()
    if ranks.probes < 1:
        raise InputError(f"--probes is {ranks.probes}, expected at least 1")
    options = ServeOptions(
        host=reach.host,
        port=reach.port,
        sessions=storage.sessions,
        allow_hosts=reach.allow_host,
        token=given_token(reach.token_file),
        insecure=reach.insecure,
        threads=ranks.threads,
        expires_h=storage.expires_h,
        durable=storage.durable,
        probes=ranks.probes if ranks.index else 0,
    )
    run(paths, options, terminal.say)


def export_log(sessions: str, out: Path, /, *, overwrite: bool = False, json: bool = False, terminal: Shown) -> None:
    """Write served sessions to a CSV or Parquet file that segue prepare table reads.

    Args:
        sessions: the file or Redis URL of the sessions of segue serve.
        out: file to write, .csv or .parquet.
        overwrite: replace an existing file.
        json: print one JSON document.
    """
    from segue import api

    facts = api.export_log(sessions, out, overwrite=overwrite).to_json()
    terminal.close()
    print(json_text(facts) if json else facts_text(facts))


@dataclass(frozen=True)
class Replaying:
    """Sessions to send, and the service."""

    url: str = "http://127.0.0.1:8765"
    """Address of the service."""
    split: Literal["test", "validation"] = "test"
    """Held-out tracks to rank."""
    sample: int = 0
    """Number of targets, evenly spaced; 0 = all."""
    k: int = 20
    """Length of the lists."""
    token_file: Path | None = None
    """File with the service's token; default: environment variable SEGUE_TOKEN."""


def replay(
    export: Path, store: Path, /, *, how: Annotated[Replaying | None, Flat] = None, json: bool = False, terminal: Shown
) -> None:
    """Send held-out sessions through a running service and print its HR, to compare with the offline evaluation.

    Args:
        export: the served export.
        store: the store of its run.
        json: print one JSON document.
    """
    from segue import api
    from segue.serving.options import given_token

    how = how or Replaying()
    facts = api.replay(
        export,
        store,
        how.url,
        split=how.split,
        sample=how.sample,
        k=how.k,
        token=given_token(how.token_file),
        progress=terminal,
    ).to_json()
    terminal.close()
    print(json_text(facts) if json else facts_text(facts))
