"""The verb `simulate`: a listening log, or a store at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from segue.errors import InputError
from segue.files import check_replaceable
from segue.progress import Progress, silent
from segue.store.manifest import MANIFEST as STORE_MARKER

LOG_MARKER: Final = "simulation.json"


def simulate(
    out: str | Path,
    *,
    sessions: int = 10_000,
    tracks: int = 50_704,
    seed: int = 1,
    world: str = "full",
    listeners: int = 0,
    store: bool = False,
    compare: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a simulated log in the layout of MSSD to the folder `out`, or a store of it where `store`; return facts.

    `sessions` sessions over a catalogue of `tracks` tracks; the same arguments give the same bytes.
    `listeners`: so many listeners return, with tastes that stay (a store only: MSSD names none); 0 = none does.
    `world` says why listeners skip (null, track, state, taste, no-reaction, full); `why` tells it. `compare` adds
    `comparison`: each statistic beside the aggregates of MSSD that the simulator is calibrated on.

    Raises:
        InputError: an unknown world, sizes out of range, or `out` exists and may not be replaced.
    """
    from segue.simulation import WORLDS, config_of, write_store
    from segue.simulation import compare as compare_log
    from segue.simulation import simulate as simulate_log

    path = Path(out)
    if listeners and not store:
        raise InputError("MSSD's layout names no listeners: simulate returning ones with --store")
    check_replaceable(path, overwrite=overwrite, marker=STORE_MARKER if store else LOG_MARKER)
    log = simulate_log(config_of(sessions, tracks, seed, world, listeners), progress)
    if store:
        write_store(log, path, overwrite=overwrite)
    else:
        from segue.data.mssd_writer import write_mssd  # Polars, which a bare machine lacks

        write_mssd(log, path, overwrite=overwrite, progress=progress)
    facts = {"out": str(path), "why": WORLDS[world], "simulated": dict(log.summary)}
    return facts | {"comparison": compare_log(log)["rows"]} if compare else facts
