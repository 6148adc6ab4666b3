"""Configuration of a simulation, and the version of the simulator."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Final

SIMULATOR_VERSION: Final = 2
"""Increases with every change of the generated logs; part of every result. Frozen: models are scored on 2.

2: skip rates of tracks fitted to the aggregates (track effects and intercept); in `no-reaction` skips depend on
another taste than the choice of tracks.
"""
WORLDS: Final = {
    "null": "skips at random",
    "track": "each track has its own skip rate, nothing else counts",
    "state": "session and context decide, the track does not",
    "taste": "tracks far from the taste, in the genre tree or in tempo, are skipped, and skips move the session",
    "no-reaction": "track, state and taste decide about skips, but what comes next ignores them",
    "full": "track, state and taste decide, and skips move the session",
}
"""What makes listeners skip, by world."""
REACTS: Final = ("taste", "full")
"""Worlds in which the next track depends on skips."""
FEWEST_TRACKS: Final = 200


@dataclass(frozen=True)
class SimulationConfig:
    """One simulated log; equal configs give equal bytes."""

    sessions: int = 10_000
    tracks: int = 50_704
    """Size of the catalogue; not all of its tracks are heard."""
    seed: int = 1
    world: str = "full"
    listeners: int = 0
    """Listeners with several sessions, each with fixed traits; 0 = every session has another listener."""

    def __post_init__(self) -> None:
        ranges = {
            "sessions must be at least 1": self.sessions >= 1,
            f"tracks must be in {FEWEST_TRACKS}..{2**24 - 1}": FEWEST_TRACKS <= self.tracks < 2**24,
            "listeners must be at least 0": self.listeners >= 0,
            "seed must be in 0..2**32 - 1": 0 <= self.seed < 2**32,
            f"world {self.world!r} is not one of {', '.join(WORLDS)}": self.world in WORLDS,
        }
        for message, holds in ranges.items():
            if not holds:
                raise ValueError(message)

    def describe(self, *modules: ModuleType) -> dict[str, Any]:
        """Return version, world, sizes, and a hash over them and over every constant of `modules`."""
        figures = [(name, repr(value)) for module in modules for name, value in vars(module).items() if name.isupper()]
        sizes = asdict(self)
        if self.listeners == 0:  # keeps the hash of configs from before this field existed
            del sizes["listeners"]
        text = repr((SIMULATOR_VERSION, sorted(sizes.items()), sorted(figures)))
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return {"version": SIMULATOR_VERSION, **sizes, "config_hash": digest}
