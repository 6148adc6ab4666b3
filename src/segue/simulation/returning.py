"""Listeners with several sessions: the listener of each session, and traits that stay the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.simulation.catalogue import Catalogue
from segue.simulation.config import SimulationConfig
from segue.simulation.listening import Listeners, make_listeners

ACTIVITY_SD: Final = 1.0
"""Standard deviation of the log of the listeners' activity."""


class Returning:
    """The listeners of a config with `listeners` > 0."""

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
