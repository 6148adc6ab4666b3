"""What to simulate, and the version of the simulator."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Final

SIMULATOR_VERSION: Final = 2
"""Raised with every change of what is generated; stands in every result. Frozen: models are scored on 2.

2: skip rates of tracks fitted to the aggregates (track effects and intercept); in `no-reaction` the taste that skips
tell of is another than the one that tracks are drawn from.
"""
WORLDS: Final = {
    "null": "skips at random",
    "track": "each track has its own skip rate, nothing else counts",
    "state": "session and context decide, the track does not",
    "taste": "tracks far from the taste, in the genre tree or in tempo, are skipped, and skips move the session",
    "no-reaction": "track, state and taste decide about skips, but what comes next ignores them",
    "full": "track, state and taste decide, and skips move the session",
}
"""World to what makes listeners skip in it."""
REACTS: Final = ("taste", "full")
"""Worlds in which what comes next depends on skips."""
FEWEST_TRACKS: Final = 200


@dataclass(frozen=True)
class SimulationConfig:
    """One simulated log; equal configs give equal bytes."""

    sessions: int = 10_000
    tracks: int = 50_704
    """Size of the catalogue; the distinct tracks that are heard are an outcome."""
    seed: int = 1
    world: str = "full"
    listeners: int = 0
    """Listeners who return, each with traits of their own for all sessions; 0 = every session is another listener's."""

    def __post_init__(self) -> None:
        if self.sessions < 1:
            raise ValueError("sessions must be at least 1")
        if not FEWEST_TRACKS <= self.tracks < 2**24:
            raise ValueError(f"tracks must lie in {FEWEST_TRACKS}..{2**24 - 1}")
        if self.listeners < 0:
            raise ValueError("listeners must be at least 0")
        if not 0 <= self.seed < 2**32:
            raise ValueError("seed must lie in 0..2**32 - 1")
        if self.world not in WORLDS:
            raise ValueError(f"world {self.world!r} is none of {', '.join(WORLDS)}")

    def describe(self, *modules: ModuleType) -> dict[str, Any]:
        """Return version, world, sizes, and a hash of them and of every constant of `modules`."""
        figures = [(name, repr(value)) for module in modules for name, value in vars(module).items() if name.isupper()]
        sizes = asdict(self)
        if self.listeners == 0:  # as before there were any
            del sizes["listeners"]
        text = repr((SIMULATOR_VERSION, sorted(sizes.items()), sorted(figures)))
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return {"version": SIMULATOR_VERSION, **sizes, "config_hash": digest}
