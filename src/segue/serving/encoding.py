"""The encoder of an export: sessions in, states out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.exported.folder import ENCODER, LISTEN, ExportFolder
from segue.serving.graphs import joined, load_graph, runnable
from segue.serving.scoring import After
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN

HIDDEN: Final = 5
"""Feedback code of padding."""


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


class Encoding:
    """The encoder of one export, with its head for P(listen) if there is one."""

    def __init__(self, export: ExportFolder) -> None:
        self._table = export.table
        self._width, self._length = export.manifest.facts.width, export.manifest.facts.max_len
        model = load_graph(export.path / ENCODER, ("values", "tracks", "feedback", "valid"), ("state",))
        if export.listen_offset is not None:
            path = export.path / LISTEN
            model = joined(model, load_graph(path, ("state",), ("direction", "level")), "state", path)
        self._graph = runnable(model, export.path / ENCODER)
        self._trims = not isinstance(self._graph.get_inputs()[1].shape[1], int)
        """Whether the graph takes fewer columns than the longest session that it reads."""

    def after(self, sessions: Sequence[Session]) -> list[After]:
        """Return the state after each session; rows that were never trained must be UNKNOWN already."""
        longest = max((len(session.rows) for session in sessions), default=1)
        shape = (len(sessions), min(max(longest, 1), self._length) if self._trims else self._length)
        ends = [(session.rows[-self._length :], session.feedback[-self._length :]) for session in sessions]
        rows = np.array([each + (0,) * (shape[1] - len(each)) for each, _ in ends], np.int64).reshape(shape)
        feedback = np.array([codes + (HIDDEN,) * (shape[1] - len(codes)) for _, codes in ends], np.int64).reshape(shape)
        valid = np.arange(shape[1]) < np.array([[len(each)] for each, _ in ends])
        values = np.empty((NUM_SPECIALS + rows.size, self._width), np.float32)
        values[:NUM_SPECIALS] = self._table[:NUM_SPECIALS]
        values[NUM_SPECIALS:] = self._table[rows.ravel()]
        tracks = np.where(valid, np.arange(rows.size).reshape(shape) + NUM_SPECIALS, 0)
        inputs = {"values": values, "tracks": tracks, "feedback": feedback, "valid": valid}
        states, *of_listening = self._graph.run(None, inputs)
        last = [int(session.rows[-1]) if session.rows else 0 for session in sessions]
        if not of_listening:
            return [After(state, row) for state, row in zip(states, last, strict=True)]
        direction, level = of_listening
        return [After(state, row, u, float(c)) for state, row, u, c in zip(states, last, direction, level, strict=True)]


def known_session(rows: Sequence[int], feedback: Sequence[int], is_candidate: NDArray[np.bool_]) -> Session:
    """Return the session that a model reads: without unknown tracks, never trained ones as UNKNOWN."""
    pairs = [
        (row if is_candidate[row] else UNKNOWN, code)
        for row, code in zip(rows, feedback, strict=True)
        if row >= NUM_SPECIALS
    ]
    return Session(tuple(row for row, _ in pairs), tuple(code for _, code in pairs))
