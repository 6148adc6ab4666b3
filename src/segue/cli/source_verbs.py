"""Verbs about sources: prepare auto, prepare NAME, sources, sources show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from segue.cli.parameters import Flat, Shown
from segue.cli.tables import facts_text, records_text
from segue.cli.terminal import Terminal
from segue.cli.whole import Whole
from segue.config import nearest
from segue.data.sources import TITLES
from segue.errors import InputError
from segue.output import json_text

if TYPE_CHECKING:
    from segue.api.preparing import PrepareReport


@dataclass(frozen=True)
class LogOptions:
    """How a log is read, cut into sessions and checked."""

    gap_minutes: float = 20.0
    """A longer pause ends a session; it counts from the end of a play if that is known."""
    max_length: Whole = 20
    """Most plays of a session."""
    drop_duplicates: bool | None = None
    """Keep only the first of several plays of one listener, time and track; default for sources that repeat plays."""
    accept: tuple[str, ...] = ()
    """Name of a doubt (years, shares, lone-plays, ...) to ignore; repeat the option."""
    tracks: Path | None = None
    """Track table (CSV or Parquet): titles, artists, durations, features."""
    max_rejected: float = 0.001
    """Largest share of unusable rows; with more, no store is written."""
    overwrite: bool = False
    """Replace an existing folder of the same kind."""
    json: bool = False
    """Print one JSON document instead of text."""


def add_to(app: App, prepare: App) -> None:
    """Add the verbs of this module to the command, and every source to `prepare`."""
    prepare.command(prepare_auto, name="auto")
    for name, title in TITLES.items():
        if name not in prepare:  # table has a separate verb
            prepare.command(_verb_of(name, title), name=name)
    sources = App(name="sources", help="List the sources of listening logs, or show one.")
    sources.default(list_sources)
    sources.command(show_source, name="show")
    app.command(sources)


def prepare_auto(*paths: Path, options: Annotated[LogOptions, Flat] = LogOptions(), terminal: Shown) -> None:
    """Prepare the export of a player or a service; its source is recognised.

    Args:
        paths: files, folders or archives, then the store to write.
    """
    _prepare("auto", paths, options, terminal)


def _verb_of(name: str, title: str) -> Callable[..., None]:
    def verb(*paths: Path, options: Annotated[LogOptions, Flat] = LogOptions(), terminal: Shown) -> None:
        _prepare(name, paths, options, terminal)

    verb.__doc__ = f"""Prepare {title}.

    Args:
        paths: files, folders or archives, then the store to write.
    """
    return verb


def _prepare(name: str, paths: tuple[Path, ...], options: LogOptions, terminal: Shown) -> None:
    from segue.api.log_inputs import Cutting
    from segue.api.prepare_source import prepare_source

    files, store = files_and_store(paths)
    report = prepare_source(
        files,
        store,
        source=name,
        cutting=Cutting(options.gap_minutes, options.max_length, options.drop_duplicates, options.accept),
        tracks=options.tracks,
        max_rejected=options.max_rejected,
        overwrite=options.overwrite,
        progress=terminal,
    )
    print_report(report, terminal, as_json=options.json)


def files_and_store(paths: tuple[Path, ...]) -> tuple[tuple[Path, ...], Path]:
    """Return the files of a log and the store from the arguments."""
    if len(paths) < 2:
        raise InputError("name the files of the log, then the store to write: segue prepare auto FILE... STORE")
    return paths[:-1], paths[-1]


def print_report(report: PrepareReport, terminal: Terminal, *, as_json: bool) -> None:
    """Print the report of preparing a log, and its warnings."""
    for warning in report.warnings:
        terminal.say(f"warning: {warning}")
    terminal.close()
    facts = report.to_json()
    print(json_text(facts) if as_json else facts_text({k: v for k, v in facts.items() if k != "warnings"}))


def list_sources(*, json: bool = False, terminal: Shown) -> None:
    """List the sources of listening logs.

    Args:
        json: print one JSON document.
    """
    from segue.data.sources import all_sources

    rows = [{"name": one.name, "source": one.title, "feedback": one.feedback} for one in all_sources()]
    print(json_text({"sources": rows}) if json else records_text(rows))


def show_source(name: str, /, *, json: bool = False, terminal: Shown) -> None:
    """Show a source: where to get it, its licence, its quirks, its feedback.

    Args:
        name: name of a source.
        json: print one JSON document.
    """
    from segue.data.sources import source_of

    if name not in TITLES:
        raise InputError(f"unknown source {name!r}{nearest(name, TITLES)}; segue sources lists them")
    source = source_of(name)
    facts = {field: getattr(source, field) for field in ("name", "title", "where", "licence", "feedback", "refused")}
    facts |= {"files": list(source.files), "notes": list(source.notes)}
    if json:
        print(json_text(facts))
        return
    print(facts_text({field: value for field, value in facts.items() if isinstance(value, str) and value}))
    print("files", *(f"  {pattern}" for pattern in source.files), sep="\n")
    print("notes", *(f"  {note}" for note in source.notes), sep="\n")
