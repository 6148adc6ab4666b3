"""Simulated sessions: tracks and skips, one position at a time for all sessions together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.simulation import calibration
from segue.simulation.catalogue import TEMPO_BANDS, Catalogue
from segue.simulation.config import REACTS, SimulationConfig

LONGEST: Final = 20
FOLLOW: Final = 0.45
"""Largest chance that the next track is the successor of the last one (an album, a playlist)."""
INFLOW: Final = 0.7
"""Largest share of a track's plays as a successor; the other plays keep its popularity as calibrated."""
REPEAT: Final = 0.04
"""Chance that the track before the last is played again."""
DRIFT: Final = 0.06
"""Chance that a session moves to another genre without a skip."""
MOVE: Final = 0.5
"""Chance that it moves after a skip, in worlds of REACTS."""
TYPES: Final = ((1.5, 1.5), (0.4, 0.4), (-1.3, -1.3), (1.2, -1.2), (-1.2, 1.2))
"""Log-odds of listening at the start and at the end: patient, mixed, skipper, listen-then-skip, skip-then-listen."""
TYPE_SHARES: Final = (0.25, 0.25, 0.25, 0.125, 0.125)
CONTEXT_EFFECT: Final = {"radio": -0.25, "user_collection": 0.25, "personalized_playlist": -0.15, "charts": -0.1}
TASTE_EFFECT: Final = (1.1, 0.1, -0.9)
"""Log-odds by distance in the genre tree: same leaf, same root, elsewhere."""
TEMPO_EFFECT: Final = (0.4, 0.1, -0.5)
"""Log-odds by distance in tempo bands: same, next, farther."""
PILOTS: Final = (4000, 4000, 4000, 24_000, 24_000)
"""Sessions of the pilots that set the intercept, one Newton step each."""


@dataclass(frozen=True)
class Listeners:
    """Fixed traits of each session, [S]."""

    kind: NDArray[np.int64]
    """Index of TYPES."""
    home: NDArray[np.int64]
    """Leaf where the session starts and to which it moves."""
    taste: NDArray[np.int64]
    """Leaf that the listener likes: `home`, but a separate draw in the world `no-reaction`, so that skips do not
    reveal `home` and thus the next tracks."""
    tempo: NDArray[np.int64]
    """Tempo band that the listener likes."""
    context: NDArray[np.int64]
    """Index of `calibration.CONTEXT_TYPE_COUNTS`, in byte order of the names."""
    length: NDArray[np.int64]


@dataclass(frozen=True)
class Listening:
    """Tracks, P(listen) and feedback, [S, 20]; positions after the end of a session are meaningless."""

    track: NDArray[np.int64]
    p_listen: NDArray[np.float32]
    skipped: NDArray[np.bool_]


def context_names() -> list[str]:
    """Return the context types in UTF-8 byte order: code i is name i."""
    return sorted(calibration.CONTEXT_TYPE_COUNTS)


def make_listeners(num: int, catalogue: Catalogue, world: str, generator: np.random.Generator) -> Listeners:
    """Return the fixed traits of `num` sessions; lengths, context types and genres follow the aggregates.

    All worlds draw the same traits, except for the taste of `no-reaction`.
    """
    mass = np.add.reduceat(catalogue.weight[catalogue.by_leaf], catalogue.leaf_begin[:-1])
    counts = np.array([calibration.CONTEXT_TYPE_COUNTS[name] for name in context_names()], dtype=np.float64)
    lengths = np.array(list(calibration.SESSION_LENGTH_COUNTS.values()), dtype=np.float64)
    kind = generator.choice(len(TYPES), num, p=TYPE_SHARES)
    home, other = generator.choice(len(mass), (2, num), p=mass / mass.sum())
    return Listeners(
        kind=kind,
        home=home,
        taste=other if world == "no-reaction" else home,
        tempo=generator.integers(0, TEMPO_BANDS, num),
        context=generator.choice(len(counts), num, p=counts / counts.sum()),
        length=generator.choice(list(calibration.SESSION_LENGTH_COUNTS), num, p=lengths / lengths.sum()),
    )


def log_odds(
    listeners: Listeners, catalogue: Catalogue, track: NDArray[np.int64], position: NDArray[np.int64], world: str
) -> NDArray[np.float64]:
    """Return the log-odds of listening to `track` [S] at `position` [S], before the intercept.

    Taste is not an inner product but a distance in a tree and one in bands, each mapped by a table.
    """
    result = np.zeros(len(track))
    if world in ("track", "full", "no-reaction"):
        result += catalogue.effect[track]
    if world in ("state", "full", "no-reaction"):
        first, last = np.array(TYPES)[listeners.kind].T
        effect = np.array([CONTEXT_EFFECT.get(name, 0.0) for name in context_names()])
        result += first + (last - first) * position / (LONGEST - 1) + effect[listeners.context]
    if world in ("taste", "full", "no-reaction"):
        leaf = catalogue.leaf[track]
        far = (leaf != listeners.taste).astype(np.int64) + (leaf // 8 != listeners.taste // 8)
        apart = np.abs(catalogue.tempo[track] - listeners.tempo).clip(max=2)
        result += np.array(TASTE_EFFECT)[far] + np.array(TEMPO_EFFECT)[apart]
    return result


class Player:
    """Chooses tracks: the successor of the last one, a repeat, or a draw by popularity from the session's genre."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        weight, successor = catalogue.weight, catalogue.successor
        self.follow = np.minimum(FOLLOW, INFLOW * weight[successor] / weight)
        """Chance that each track is followed by its successor, [T]."""
        direct = weight.copy()
        direct[successor] -= self.follow * weight  # plays as a successor are not drawn as well
        self.sums = _sums(weight[catalogue.by_leaf])
        self.direct_sums = _sums(direct[catalogue.by_leaf])

    def draw(
        self, leaf: NDArray[np.int64], fresh: NDArray[np.bool_], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return a track of each leaf: by popularity if the session is `fresh` in it, else by popularity less plays as
        a successor.

        So a track keeps its calibrated share of plays, however often it is a successor.
        """
        low, high, point = (
            self.catalogue.leaf_begin[leaf],
            self.catalogue.leaf_begin[leaf + 1],
            generator.random(len(leaf)),
        )
        indices = [
            np.searchsorted(sums, sums[low] + point * (sums[high] - sums[low]), side="right") - 1
            for sums in (self.sums, self.direct_sums)
        ]
        track: NDArray[np.int64] = self.catalogue.by_leaf[np.clip(np.where(fresh, *indices), low, high - 1)]
        return track

    def any_leaf(self, num: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return leaves by popularity."""
        index = np.searchsorted(self.sums, generator.random(num) * self.sums[-1], side="right") - 1
        leaf: NDArray[np.int64] = self.catalogue.leaf[self.catalogue.by_leaf[index.clip(max=len(self.sums) - 2)]]
        return leaf


def listen(
    listeners: Listeners, catalogue: Catalogue, intercept: float, world: str, seeds: tuple[int, ...]
) -> Listening:
    """Return the tracks and skips of the sessions. Tracks and skips have separate generators.

    So in worlds outside `REACTS` the tracks do not depend on the skips.
    """
    player, num = Player(catalogue), len(listeners.kind)
    choosing, skipping = np.random.default_rng([*seeds, 1]), np.random.default_rng([*seeds, 2])
    track = np.zeros((num, LONGEST), dtype=np.int64)
    p_listen = np.zeros((num, LONGEST), dtype=np.float32)
    skipped = np.zeros((num, LONGEST), dtype=np.bool_)
    leaf = np.where(choosing.random(num) < 0.6, listeners.home, player.any_leaf(num, choosing))
    for position in range(LONGEST):
        track[:, position] = _next(player, track, leaf, position, choosing)
        odds = log_odds(listeners, catalogue, track[:, position], np.full(num, position), world) + intercept
        p_listen[:, position] = 1.0 / (1.0 + np.exp(-odds))
        skipped[:, position] = skipping.random(num) >= p_listen[:, position]
        chance = np.where(skipped[:, position], MOVE, DRIFT) if world in REACTS else (MOVE + DRIFT) / 2
        moves = choosing.random(num) < chance
        towards = np.where(choosing.random(num) < 0.5, listeners.home, player.any_leaf(num, choosing))
        leaf = np.where(moves, towards, leaf)
    return Listening(track, p_listen, skipped)


def _next(
    player: Player, track: NDArray[np.int64], leaf: NDArray[np.int64], position: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    last = track[:, max(position - 1, 0)]
    stays = (player.catalogue.leaf[last] == leaf) & (position > 0)  # a session that moves leaves its album
    in_leaf, kind = player.draw(leaf, ~stays, generator), generator.random(len(leaf))
    following = np.where(stays & (kind < player.follow[last]), player.catalogue.successor[last], in_leaf)
    if position < 2:
        return following
    return np.where(kind >= 1 - REPEAT, track[:, position - 2], following)


def _sums(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(weight)))


def find_intercept(config: SimulationConfig, catalogue: Catalogue) -> float:
    """Return the intercept at which pilot sessions have the skip rate of the aggregates (Newton's method)."""
    intercept = 0.0
    for pilot, num in enumerate(PILOTS):
        listeners = make_listeners(num, catalogue, config.world, np.random.default_rng([config.seed, 3, pilot]))
        played = listen(listeners, catalogue, intercept, config.world, (config.seed, 4, pilot))
        p_listen = played.p_listen[np.arange(LONGEST) < listeners.length[:, None]].astype(np.float64)
        excess = 1 - p_listen.mean() - calibration.SKIP_2_RATE
        intercept += float(excess / (p_listen * (1 - p_listen)).mean())
    return intercept


def common_context(
    listeners: Listeners, catalogue: Catalogue, listening: Listening, intercept: float, world: str
) -> NDArray[np.float32]:
    """Return P(listen) [S, 20] of the two held-out rows, each as if it came directly after the rows before both."""
    result = np.full(listening.p_listen.shape, np.nan, dtype=np.float32)
    who = np.arange(len(listeners.length))
    position = listeners.length - 2
    for back in (2, 1):
        column = listeners.length - back
        odds = log_odds(listeners, catalogue, listening.track[who, column], position, world) + intercept
        result[who, column] = 1.0 / (1.0 + np.exp(-odds))
    return result
