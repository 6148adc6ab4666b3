"""Listeners who return: whose session each is, and traits that stay from session to session."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.simulation.catalogue import Catalogue
from segue.simulation.config import SimulationConfig
from segue.simulation.listening import Listeners, make_listeners

ACTIVITY_SD: Final = 1.0
"""Spread of the log of how often listeners come."""


class Returning:
    """The listeners of a config that has some."""

    def __init__(self, config: SimulationConfig, catalogue: Catalogue) -> None:
        self._config = config
        generator = np.random.default_rng([config.seed, 10])
        self._traits = make_listeners(config.listeners, catalogue, config.world, generator)
        self._sums = np.cumsum(np.exp(ACTIVITY_SD * generator.standard_normal(config.listeners)))

    def sessions(self, drawn: Listeners, chunk: int) -> tuple[NDArray[np.int32], Listeners]:
        """Return who each session's listener is, and the sessions with the listeners' type, home, taste and tempo.

        Length and context type stay the session's own.
        """
        generator = np.random.default_rng([self._config.seed, 11, chunk])
        point = generator.random(len(drawn.kind)) * self._sums[-1]
        who = np.searchsorted(self._sums, point, side="right").clip(max=len(self._sums) - 1)
        names = ("kind", "home", "taste", "tempo")
        return who.astype(np.int32), replace(drawn, **{name: getattr(self._traits, name)[who] for name in names})
