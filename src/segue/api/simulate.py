"""The verb `simulate`: writes a simulated log or store."""

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
    """Return the facts of a simulated log, written to the folder `out` in the layout of MSSD, or as a store (`store`).

    `sessions` sessions over a catalogue of `tracks` tracks; the same arguments give the same bytes. `listeners`: number
    of listeners with several sessions and fixed tastes (stores only: MSSD has no listeners); 0 = every session has
    another listener. `world`: why listeners skip (null, track, state, taste, no-reaction, full). `compare` adds
    `comparison`: each statistic with the aggregate of MSSD to which the simulator is fitted.

    Raises:
        InputError: an unknown world, sizes out of range, or `out` exists and may not be replaced.
    """
    from segue.simulation import WORLDS, config_of, write_store
    from segue.simulation import compare as compare_log
    from segue.simulation import simulate as simulate_log

    path = Path(out)
    if listeners and not store:
        raise InputError("MSSD's layout has no listeners; add --store to simulate listeners with several sessions")
    check_replaceable(path, overwrite=overwrite, marker=STORE_MARKER if store else LOG_MARKER)
    log = simulate_log(config_of(sessions, tracks, seed, world, listeners), progress)
    if store:
        write_store(log, path, overwrite=overwrite)
    else:
        from segue.data.mssd_writer import write_mssd  # needs Polars, which GPU machines may lack

        write_mssd(log, path, overwrite=overwrite, progress=progress)
    facts = {"out": str(path), "why": WORLDS[world], "simulated": dict(log.summary)}
    return facts | {"comparison": compare_log(log)["rows"]} if compare else facts
