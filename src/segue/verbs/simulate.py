"""The verb `simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from segue.errors import InputError
from segue.files import check_replaceable
from segue.option_types import Whole
from segue.progress import Progress, silent
from segue.store.manifest import MANIFEST as STORE_MARKER

LOG_MARKER: Final = "simulation.json"


@dataclass(frozen=True)
class SimulateOptions:
    """Options of `simulate`."""

    sessions: Whole = 10_000
    """Number of sessions."""
    tracks: Whole = 50_704
    """Size of the catalogue."""
    seed: Whole = 1
    """Seed of the simulation; the same options give the same bytes."""
    world: Literal["null", "track", "state", "taste", "no-reaction", "full"] = "full"
    """Why listeners skip: null (at random), track, state, taste, no-reaction, full."""
    listeners: Whole = 0
    """Number of listeners with several sessions (for a store, and for --layout yambda); 0: every session has another
    listener."""
    layout: Literal["mssd", "yambda"] = "mssd"
    """Data set whose layout the log has."""
    store: bool = False
    """Write a store instead of a log."""
    compare: bool = False
    """Print each statistic with that of the real data set."""
    overwrite: bool = False
    """Replace an existing folder of the same kind."""


def simulate(
    out: str | Path, options: SimulateOptions = SimulateOptions(), *, progress: Progress = silent
) -> dict[str, Any]:
    """Simulate a listening log in the layout of a data set (MSSD, or Yambda); return its facts.

    Args:
        out: folder to write.

    Raises:
        InputError: an unknown world, sizes out of range, or `out` exists and may not be replaced.
    """
    from segue.simulation import WORLDS, config_of, write_store
    from segue.simulation import compare as compare_log
    from segue.simulation import simulate as simulate_log

    path = Path(out)
    in_mssd = options.layout == "mssd"
    if options.listeners and in_mssd and not options.store:
        raise InputError("MSSD's layout has no listeners; add --store to simulate listeners with several sessions")
    if not in_mssd and (options.store or not options.listeners):
        raise InputError("Yambda's layout is a log of listeners: name --listeners, and leave --store out")
    check_replaceable(path, overwrite=options.overwrite, marker=STORE_MARKER if options.store else LOG_MARKER)
    size = options.sessions, options.tracks, options.seed, options.world, options.listeners
    log = simulate_log(config_of(*size), progress)
    if options.store:
        write_store(log, path, overwrite=options.overwrite)
    elif in_mssd:
        from segue.data.mssd_writer import write_mssd  # needs Polars, which GPU machines may lack

        write_mssd(log, path, overwrite=options.overwrite, progress=progress)
    else:
        from segue.data.yambda_writer import write_yambda

        write_yambda(log, path, overwrite=options.overwrite, progress=progress)
    facts = {"out": str(path), "why": WORLDS[options.world], "simulated": dict(log.summary)}
    return facts | {"comparison": compare_log(log)["rows"]} if options.compare else facts
