"""Verbs about data: simulate, prepare, inspect."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App

from segue.cli import source_verbs
from segue.cli.parameters import Flat, Shown
from segue.cli.tables import facts_text, inspect_text
from segue.cli.whole import Whole
from segue.output import json_text

World = Literal["null", "track", "state", "taste", "no-reaction", "full"]


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

    drop_duplicates: bool = False
    """Keep only the first of several plays of one listener, time and track."""
    accept: tuple[str, ...] = ()
    """Name of a doubt (years, shares, ...) to ignore; repeat the option."""


@dataclass(frozen=True)
class Cut:
    """How a listener's history is cut into sessions."""

    gap_minutes: float = 20.0
    """A longer pause ends a session."""
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


@dataclass(frozen=True)
class Simulated:
    """Size and kind of a simulation."""

    sessions: Whole = 10_000
    """Number of sessions."""
    tracks: Whole = 50_704
    """Size of the catalogue."""
    seed: Whole = 1
    """Seed of the simulation."""
    world: World = "full"
    """Why listeners skip: null (at random), track, state, taste, no-reaction, full."""
    listeners: Whole = 0
    """Number of listeners with several sessions (with --store); 0: every session has another listener."""


def add_to(app: App) -> None:
    """Add the verbs of this module to the command."""
    prepare = App(name="prepare", help="Turn a listening log into a store.")
    for verb in (prepare_table, prepare_ratings):
        prepare.command(verb, name=verb.__name__.removeprefix("prepare_"))
    source_verbs.add_to(app, prepare)
    app.command(simulate)
    app.command(prepare)
    app.command(inspect)


def simulate(
    out: Path,
    /,
    *,
    simulated: Annotated[Simulated, Flat] = Simulated(),
    store: bool = False,
    compare: bool = False,
    output: Annotated[Output, Flat] = Output(),
    terminal: Shown,
) -> None:
    """Simulate a listening log in the layout of the Music Streaming Sessions Dataset.

    Args:
        out: folder to write.
        store: write a store instead of a log.
        compare: print each statistic with that of the real data set.
    """
    from segue import api

    facts = api.simulate(
        out, **asdict(simulated), store=store, compare=compare, overwrite=output.overwrite, progress=terminal
    )
    terminal.close()
    print(json_text(facts) if output.json else facts_text(facts))


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

    files, store = source_verbs.files_and_store(paths)
    report = api.prepare_table(
        files,
        store,
        **asdict(doubts),
        columns=TableColumns(**columns.roles(), **asdict(cut)),
        **asdict(rejection),
        overwrite=output.overwrite,
        progress=terminal,
    )
    source_verbs.print_report(report, terminal, as_json=output.json)


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

    files, store = source_verbs.files_and_store(paths)
    report = api.prepare_ratings(
        files, store, **asdict(cut), **asdict(rejection), overwrite=output.overwrite, progress=terminal
    )
    source_verbs.print_report(report, terminal, as_json=output.json)


def inspect(
    store: Path, /, *, json: bool = False, figure: Path | None = None, overwrite: bool = False, terminal: Shown
) -> None:
    """Show the figures of a store: sessions, tracks, lengths, popularity, skip rates.

    Args:
        store: a store.
        json: print one JSON document.
        figure: also draw lengths, popularity and skip rates to this file (.svg, .png or .pdf).
        overwrite: replace an existing figure.
    """
    from segue import api
    from segue.api.inspect import check_figure, draw_inspection

    if figure is not None:
        check_figure(figure, overwrite=overwrite)
    facts = api.inspect(store)
    if figure is not None:
        draw_inspection(facts, figure, overwrite=overwrite)
        terminal.say(f"figure written to {figure}")
    terminal.close()
    print(json_text(facts) if json else inspect_text(facts))
