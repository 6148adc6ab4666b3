"""The verb `simulate`: a listening log, or a store at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.progress import Progress, silent


def simulate(
    out: str | Path,
    *,
    sessions: int = 10_000,
    tracks: int = 50_704,
    seed: int = 1,
    world: str = "full",
    store: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a simulated log in the layout of MSSD to the folder `out`, or a store of it where `store`; return facts.

    `sessions` sessions over a catalogue of `tracks` tracks; the same arguments give the same bytes.
    `world` says why listeners skip (null, track, state, taste, no-reaction, full).

    Raises:
        InputError: an unknown world, sizes out of range, or `out` exists and may not be replaced.
    """
