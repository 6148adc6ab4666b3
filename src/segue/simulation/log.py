"""A simulated log: flat arrays in the order of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.errors import InputError
from segue.hashing import splitmix64
from segue.progress import Progress, Step, silent
from segue.simulation import behaviour as behaviour_module
from segue.simulation import calibration
from segue.simulation import catalogue as catalogue_module
from segue.simulation import listening as listening_module
from segue.simulation.behaviour import behave
from segue.simulation.catalogue import Catalogue, make_catalogue
from segue.simulation.config import SimulationConfig
from segue.simulation.listening import (
    Listeners,
    common_context,
    context_names,
    find_intercept,
    listen,
    make_listeners,
)

FIRST_DAY: Final = 17_727
"""2018-07-15, the first day of MSSD, in days since 1970-01-01."""
NUM_DAYS: Final = 66
"""Until 2018-09-18."""
CHUNK: Final = 50_000
"""Sessions simulated at once, which bounds the memory."""
ACTIVITY_SD: Final = 1.0
"""Standard deviation of the log of the listeners' activity."""
_DECIDING: Final = (calibration, catalogue_module, listening_module, behaviour_module)
"""Modules whose constants determine the log; `config_hash` covers them."""


@dataclass(frozen=True)
class SimulatedLog:
    """Rows of all sessions, session after session, days ascending."""

    session_ids: NDArray[Any]
    offsets: NDArray[np.int64]
    track: NDArray[np.int64]
    """Index into the catalogue, [rows]."""
    strength: NDArray[np.uint8]
    event: Mapping[str, NDArray[Any]]
    """Columns by name, [rows]: context_type (codes), shuffle, hour, premium, and the oracle's."""
    date: NDArray[np.int32]
    """Days since 1970-01-01, [sessions], ascending."""
    user: NDArray[np.int32] | None
    """Listener of each session, [sessions]; None if every session has another listener."""
    context_names: tuple[str, ...]
    """Name of each context code."""
    track_ids: NDArray[Any]
    """Id of each track of the catalogue."""
    catalogue: Catalogue
    summary: Mapping[str, Any]
    """Version, world, sizes, config_hash, tracks seen and explained variance; part of every result."""

    def behaviour(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """Return reasons, pauses and seeks of the plays of sessions first..last - 1, by official name.

        Their generator depends on `first` and the config only.
        """
        rows = slice(int(self.offsets[first]), int(self.offsets[last]))
        begins = np.zeros(rows.stop - rows.start, dtype=np.bool_)
        begins[self.offsets[first:last] - rows.start] = True
        return behave(self.strength[rows], begins, np.random.default_rng([self.summary["seed"], 9, first]))

    def titles(self, index: NDArray[np.int64]) -> list[str]:
        """Return invented titles, marked simulated."""
        return [f"{_ADJECTIVES[i % 16]} {_NOUNS[i // 16 % 16]} {i // 256} (simulated)" for i in index.tolist()]

    def artists(self, index: NDArray[np.int64]) -> list[str]:
        """Return invented artists, marked simulated."""
        names = self.catalogue.artist[index].tolist()
        return [f"The {_ADJECTIVES[(a * 7) % 16]} {_NOUNS[a % 16]}s {a} (simulated)" for a in names]


_ADJECTIVES: Final = (
    "Quiet Amber Distant Silver Early Hollow Paper Northern Golden Slow Crooked Velvet Electric Lost Second Burning"
).split()
_NOUNS: Final = (
    "River Window Signal Garden Winter Engine Mirror Harbour Shadow Letter Meadow Lantern Orbit Tide Street Echo"
).split()


def simulate(config: SimulationConfig, progress: Progress = silent) -> SimulatedLog:
    """Return the simulated log of `config`; equal configs give equal logs."""
    catalogue = make_catalogue(config.tracks, np.random.default_rng([config.seed, 0]))
    intercept = find_intercept(config, catalogue)
    returning = Returning(config, catalogue) if config.listeners else None
    parts = []
    for chunk, start in enumerate(range(0, config.sessions, CHUNK)):
        progress(Step("simulate", start, config.sessions, "sessions"))
        num = min(CHUNK, config.sessions - start)
        parts.append(_sessions(config, catalogue, intercept, returning, num, chunk))
    progress(Step("simulate", config.sessions, config.sessions, "sessions"))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    lengths, user = rows.pop("length"), rows.pop("user", None)
    # days ascend over all chunks
    days = np.random.default_rng([config.seed, 5]).integers(0, NUM_DAYS, config.sessions)
    date = (FIRST_DAY + np.sort(days)).astype(np.int32)
    track, strength = rows.pop("track"), rows.pop("strength")
    summary = config.describe(*_DECIDING) | {
        "rows": len(track),
        "tracks_seen": len(np.unique(track)),
        "features_explain": round(catalogue.explained, 4),
    }
    return SimulatedLog(
        session_ids=_ids(b"0_", config.seed * 2 + 1, config.sessions),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        track=track,
        strength=strength,
        event=rows,
        date=date,
        user=user,
        context_names=tuple(context_names()),
        track_ids=_ids(b"t_", config.seed * 2, config.tracks),
        catalogue=catalogue,
        summary=summary,
    )


def config_of(sessions: int, tracks: int, seed: int, world: str, listeners: int = 0) -> SimulationConfig:
    """Return the config, with invalid values as an InputError.

    Raises:
        InputError: sizes or world are out of range.
    """
    try:
        return SimulationConfig(sessions=sessions, tracks=tracks, seed=seed, world=world, listeners=listeners)
    except ValueError as error:
        raise InputError(f"simulate: {error}") from error


class Returning:
    """Listeners with several sessions, whose traits stay the same; for a config with `listeners` > 0."""

    def __init__(self, config: SimulationConfig, catalogue: Catalogue) -> None:
        self._config = config
        generator = np.random.default_rng([config.seed, 10])
        self._traits = make_listeners(config.listeners, catalogue, config.world, generator)
        self._sums = np.cumsum(np.exp(ACTIVITY_SD * generator.standard_normal(config.listeners)))

    def sessions(self, traits: Listeners, chunk: int) -> tuple[NDArray[np.int32], Listeners]:
        """Return the listener of each session, and `traits` with the type, home, taste and tempo of these listeners.

        Length and context type stay those of the session.
        """
        generator = np.random.default_rng([self._config.seed, 11, chunk])
        point = generator.random(len(traits.kind)) * self._sums[-1]
        who = np.searchsorted(self._sums, point, side="right").clip(max=len(self._sums) - 1)
        names = ("kind", "home", "taste", "tempo")
        return who.astype(np.int32), replace(traits, **{name: getattr(self._traits, name)[who] for name in names})


def _sessions(
    config: SimulationConfig, catalogue: Catalogue, intercept: float, returning: Returning | None, num: int, chunk: int
) -> dict[str, NDArray[Any]]:
    """Return the rows of `num` sessions, flat, and their lengths and listeners."""
    user = dict[str, NDArray[Any]]()
    listeners = make_listeners(num, catalogue, config.world, np.random.default_rng([config.seed, 6, chunk]))
    if returning is not None:
        user["user"], listeners = returning.sessions(listeners, chunk)
    played = listen(listeners, catalogue, intercept, config.world, (config.seed, 7, chunk))
    common = common_context(listeners, catalogue, played, intercept, config.world)
    inside = np.arange(played.track.shape[1]) < listeners.length[:, None]
    generator = np.random.default_rng([config.seed, 8, chunk])
    begin = generator.integers(0, 24, num)[:, None]
    hour = (begin + np.arange(inside.shape[1]) // 17 + np.zeros_like(played.track)) % 24
    per_session = {
        columns.CONTEXT_TYPE: listeners.context.astype(np.uint8),
        columns.SHUFFLE: generator.random(num) < 0.32,
        columns.PREMIUM: generator.random(num) < calibration.PREMIUM_SHARE,
    }
    return {
        "length": listeners.length,
        **user,
        "track": played.track[inside],
        "strength": _strengths(played.skipped[inside], generator),
        **{name: np.repeat(values, listeners.length) for name, values in per_session.items()},
        columns.HOUR: hour[inside].astype(np.uint8),
        columns.ORACLE_P_LISTEN: played.p_listen[inside],
        columns.ORACLE_P_LISTEN_COMMON: common[inside],
    }


def _strengths(skipped: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return strengths at the calibrated shares, given the skips."""
    uniform = generator.random(len(skipped))
    when_skipped = np.where(uniform < calibration.SKIP_1_OF_SKIP_2, 3, 2)
    mostly, unknown = calibration.MOSTLY_OF_LISTENED, calibration.UNKNOWN_OF_LISTENED
    when_listened = np.where(uniform < mostly, 1, np.where(uniform < mostly + unknown, 255, 0))
    return np.where(skipped, when_skipped, when_listened).astype(np.uint8)


def _ids(prefix: bytes, seed: int, num: int) -> NDArray[Any]:
    """Return `num` distinct ids: the prefix and 32 hex digits, like those of MSSD."""
    number = np.arange(num, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = splitmix64(np.full(num, seed, dtype=np.uint64)) + number
    halves = np.stack([splitmix64(state), splitmix64(~state)], axis=1).astype(">u8").view(np.uint8).reshape(num, 16)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.empty((num, len(prefix) + 32), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    text[:, len(prefix) :: 2], text[:, len(prefix) + 1 :: 2] = digits[halves >> 4], digits[halves & 15]
    return text.view(f"S{text.shape[1]}")[:, 0]
