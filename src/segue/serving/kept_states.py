"""A session as a model reads it, and what an encoder of histories keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from segue.axes import Float


@dataclass(frozen=True)
class Session:
    """One session so far: table rows and feedback codes 0..4 of its tracks."""

    rows: tuple[int, ...]
    feedback: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.rows) == len(self.feedback), "one feedback a track"

    def without_last(self) -> Session:
        """Return the session before its last track."""
        return Session(self.rows[:-1], self.feedback[:-1])


NOTHING: Final = Session((), ())


@dataclass
class KeptStates:
    """Keys and values of the plays before a session, then of its tracks, as far as they were encoded."""

    keys_values: Float[np.ndarray, "K n E"] | None = None
    """By block and place, float32; None = nothing is kept. E = 2 D."""
    session: Session = NOTHING
    """What is encoded of the session."""
