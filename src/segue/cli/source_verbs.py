"""Verbs about logs: prepare, sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
class Output:
    """How a new folder is written, and how the result is printed."""

    overwrite: bool = False
    """Replace an existing folder of the same kind."""
    json: bool = False
    """Print one JSON document instead of text."""


@dataclass(frozen=True)
class Rejection:
    """The track table, and the limit of bad rows."""

    tracks: Path | None = None
    """Track table (CSV or Parquet): titles, artists, durations, features."""
    max_rejected: float = 0.001
    """Largest share of unusable rows; with more, no store is written."""


@dataclass(frozen=True)
class Doubts:
    """Handling of implausible logs."""

    drop_duplicates: bool | None = None
    """Keep only the first of several plays of one listener, time and track; default for sources that repeat plays."""
    accept: tuple[str, ...] = ()
    """Name of a doubt (years, shares, lone-plays, ...) to ignore; repeat the option."""


@dataclass(frozen=True)
class Cut:
    """How a listener's history is cut into sessions."""

    gap_minutes: float = 20.0
    """A longer pause ends a session; it counts from the end of a play if that is known."""
    max_length: Whole = 20
    """Most plays of a session."""


@dataclass(frozen=True)
class ColumnNames:
    """The columns of a table; usual names are recognised."""

    session_column: str | None = None
    """Session id; without it sessions are cut from each user's history."""
    user_column: str | None = None
    """User id, with --time-column; histories are cut by --gap-minutes and --max-length."""
    track_column: str | None = None
    """Track id, kept as text."""
    title_column: str | None = None
    """Title of the track; with the artist it identifies a track without an id."""
    artist_column: str | None = None
    """Artist of the track."""
    position_column: str | None = None
    """Order within the session; without position and time, file order."""
    time_column: str | None = None
    """Start of a play: epoch s, ms, us or ns, or text such as 2019-08-23 14:40:33 (UTC without an offset)."""
    ended_column: str | None = None
    """End of a play, if no column has its start."""
    skipped_column: str | None = None
    """True, 1 or yes if the track was skipped."""
    listened_column: str | None = None
    """The opposite of --skipped-column."""
    strength_column: str | None = None
    """Skip strength 0..3 (3 = skipped very early), 255 or empty = unknown."""
    ratio_column: str | None = None
    """Share of the track that was played, 1 = whole."""
    percent_column: str | None = None
    """The same in percent."""
    played_column: str | None = None
    """Time played, in seconds, or in milliseconds if its name contains ms."""
    duration_column: str | None = None
    """Length of the track, in seconds, or in milliseconds if its name contains ms."""
    side: tuple[str, ...] = ()
    """Further column to keep; repeat the option."""
    exact_ids: bool = False
    """Take ids literally: NaN and 12.0 are ids, not a missing value and 12."""

    def roles(self) -> dict[str, Any]:
        """Return the columns by role."""
        return {name.removesuffix("_column"): value for name, value in asdict(self).items()}


def add_to(app: App) -> None:
    """Add the verbs of this module to the command, and every source to `prepare`."""
    prepare = App(name="prepare", help="Turn a listening log into a store.")
    prepare.command(prepare_table, name="table")
    prepare.command(prepare_ratings, name="ratings")
    prepare.command(_verb_of("auto", "the export of a player or a service; its source is recognised"), name="auto")
    for name, title in TITLES.items():
        if name not in prepare:  # table has a separate verb
            prepare.command(_verb_of(name, title), name=name)
    sources = App(name="sources", help="List the sources of listening logs, or show one.")
    sources.default(list_sources)
    sources.command(show_source, name="show")
    app.command(prepare)
    app.command(sources)


def prepare_table(
    *paths: Path,
    columns: Annotated[ColumnNames, Flat] = ColumnNames(),
    cut: Annotated[Cut, Flat] = Cut(),
    doubts: Annotated[Doubts, Flat] = Doubts(),
    rejection: Annotated[Rejection, Flat] = Rejection(),
    output: Annotated[Output, Flat] = Output(),
    terminal: Shown,
) -> None:
    """Prepare any table of plays (CSV of any dialect, JSON, Parquet; also compressed or in an archive).

    Args:
        paths: the files, then the store to write.
    """
    from segue import api
    from segue.data.sources.table_columns import TableColumns

    files, store = files_and_store(paths)
    report = api.prepare_table(
        files,
        store,
        **asdict(doubts),
        columns=TableColumns(**columns.roles(), **asdict(cut)),
        **asdict(rejection),
        overwrite=output.overwrite,
        progress=terminal,
    )
    print_report(report, terminal, as_json=output.json)


def prepare_ratings(
    *paths: Path,
    cut: Annotated[Cut, Flat] = Cut(),
    rejection: Annotated[Rejection, Flat] = Rejection(),
    output: Annotated[Output, Flat] = Output(),
    terminal: Shown,
) -> None:
    """Prepare MovieLens-like ratings: rating 1 plays a very early skip, 2 a skip, 3 mostly heard, 4-5 heard.

    Args:
        paths: the files of ratings (user, item, rating, timestamp), then the store to write.
    """
    from segue import api

    files, store = files_and_store(paths)
    report = api.prepare_ratings(
        files, store, **asdict(cut), **asdict(rejection), overwrite=output.overwrite, progress=terminal
    )
    print_report(report, terminal, as_json=output.json)


def _verb_of(name: str, what: str) -> Callable[..., None]:
    def verb(
        *paths: Path,
        cut: Annotated[Cut, Flat] = Cut(),
        doubts: Annotated[Doubts, Flat] = Doubts(),
        rejection: Annotated[Rejection, Flat] = Rejection(),
        output: Annotated[Output, Flat] = Output(),
        terminal: Shown,
    ) -> None:
        from segue.api.log_inputs import Cutting
        from segue.api.prepare_source import prepare_source

        files, store = files_and_store(paths)
        report = prepare_source(
            files,
            store,
            source=name,
            cutting=Cutting(**asdict(cut), **asdict(doubts)),
            **asdict(rejection),
            overwrite=output.overwrite,
            progress=terminal,
        )
        print_report(report, terminal, as_json=output.json)

    verb.__doc__ = f"""Prepare {what}.

    Args:
        paths: files, folders or archives, then the store to write.
    """
    return verb


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
