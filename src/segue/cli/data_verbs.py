"""Verbs about data: simulate, inspect."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App

from segue.cli import source_verbs
from segue.cli.parameters import Flat, Shown
from segue.cli.tables import facts_text, inspect_text
from segue.cli.whole import Whole
from segue.output import json_text

World = Literal["null", "track", "state", "taste", "no-reaction", "full"]


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
    app.command(simulate)
    source_verbs.add_to(app)
    app.command(inspect)


def simulate(
    out: Path,
    /,
    *,
    simulated: Annotated[Simulated, Flat] = Simulated(),
    store: bool = False,
    compare: bool = False,
    overwrite: bool = False,
    json: bool = False,
    terminal: Shown,
) -> None:
    """Simulate a listening log in the layout of the Music Streaming Sessions Dataset.

    Args:
        out: folder to write.
        store: write a store instead of a log.
        compare: print each statistic with that of the real data set.
        overwrite: replace an existing folder of the same kind.
        json: print one JSON document instead of text.
    """
    from segue import api

    facts = api.simulate(out, **asdict(simulated), store=store, compare=compare, overwrite=overwrite, progress=terminal)
    terminal.close()
    print(json_text(facts) if json else facts_text(facts))


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
