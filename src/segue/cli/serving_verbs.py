"""The verbs of what is served: export, serve."""

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
    """Who may reach the service."""

    host: str = "127.0.0.1"
    """Address to listen at; one that other machines reach needs a token."""
    port: int = 8765
    """Port to listen at."""
    allow_host: tuple[str, ...] = ()
    """Another name that requests may ask for; repeat the option."""
    token_file: Path | None = None
    """File with the token that requests must send; else SEGUE_TOKEN of the environment."""
    insecure: bool = False
    """Let everybody who reaches the service use it."""


@dataclass(frozen=True)
class Kept:
    """Where live sessions are kept."""

    sessions: str = "segue-sessions.sqlite"
    """File of live sessions, made where it is missing; or redis://HOST:PORT/DB (password: SEGUE_REDIS_PASSWORD)."""
    expires_h: float = 24.0
    """Hours after which a session that nobody touched is over."""
    durable: bool = False
    """Sync every write to the disk: a power cut loses nothing either."""


@dataclass(frozen=True)
class Ranks:
    """How candidates are found."""

    threads: int = 2
    """Threads that rank."""
    index: bool = False
    """Look into the cells nearest to a session in place of all candidates; exports made with --index."""
    probes: int = 32
    """So many cells: more find more, and take longer."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    app.command(export)
    app.command(serve)
    app.command(replay)
    log = App(name="log", help="What was heard through the service.")
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
    """Write a run as files that are served without torch: ONNX graphs, arrays, texts, and a manifest of hashes.

    Args:
        run: a trained run.
        out: folder to write.
        name: what the model is called where it is served; the recipe's name unless given.
        overwrite: replace an existing export.
        index: make cells of the track space too, for segue serve --index; pays from a million tracks on.
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
    kept: Annotated[Kept | None, Flat] = None,
    ranks: Annotated[Ranks | None, Flat] = None,
    terminal: Shown,
) -> None:
    """Serve the next track over HTTP on this machine, from runs or exports; the first is the default.

    A run is exported into its folder `served` first. Ctrl-C ends the service. SIGHUP, or a new export in the place of
    an old one, makes it open its exports anew, without a request lost. Schema: /schema/openapi.json.

    Args:
        paths: runs or exports.
    """
    from segue.api.serve import serve as run
    from segue.serving.options import ServeOptions, given_token

    reach, kept, ranks = reach or Reach(), kept or Kept(), ranks or Ranks()
    if ranks.probes < 1:
        raise InputError(f"--probes {ranks.probes} looks nowhere; take 1 or more")
    options = ServeOptions(
        host=reach.host,
        port=reach.port,
        sessions=kept.sessions,
        allow_hosts=reach.allow_host,
        token=given_token(reach.token_file),
        insecure=reach.insecure,
        threads=ranks.threads,
        expires_h=kept.expires_h,
        durable=kept.durable,
        probes=ranks.probes if ranks.index else 0,
    )
    run(paths, options, terminal.say)


def export_log(sessions: str, out: Path, /, *, overwrite: bool = False, json: bool = False, terminal: Shown) -> None:
    """Write served sessions to a CSV or Parquet file that segue prepare table reads: tonight's skips train tomorrow.

    Args:
        sessions: the file, or the URL of the Redis, that segue serve keeps its sessions in.
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
    """What is sent, and where."""

    url: str = "http://127.0.0.1:8765"
    """Address of the service."""
    split: Literal["test", "validation"] = "test"
    """Which held-out tracks."""
    sample: int = 0
    """So many targets, evenly spread; 0 = all."""
    k: int = 20
    """Length of the lists that are asked for."""
    token_file: Path | None = None
    """File with the service's token; else SEGUE_TOKEN of the environment."""


def replay(
    export: Path, store: Path, /, *, how: Annotated[Replaying | None, Flat] = None, json: bool = False, terminal: Shown
) -> None:
    """Send held-out sessions through a running service and tell its HR, which is that of the offline evaluation.

    Args:
        export: the export that is served.
        store: the store that its run was trained on.
        json: print one JSON document.
    """
    from segue import api
    from segue.serving.options import given_token

    how = how or Replaying()
    found = api.replay(
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
    print(json_text(found) if json else facts_text(found))
