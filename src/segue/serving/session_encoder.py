"""The encoder of an export that reads sessions alone: sessions in, states out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.exported.folder import ExportFolder
from segue.serving.kept_states import Session
from segue.serving.onnx_graphs import encoder_graph
from segue.serving.scoring import After
from segue.skips import FEEDBACK_HIDDEN
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN


class SessionEncoder:
    """The encoder of one export, with its head for P(listen) if there is one."""

    def __init__(self, export: ExportFolder) -> None:
        """Load the graphs.

        Raises:
            FormatError: one is not an ONNX graph, is not allowed, or cannot be run.
        """
        self._table = export.table
        self._width, self._length = export.manifest.facts.width, export.manifest.facts.max_len
        self._graph = encoder_graph(export, ("values", "tracks", "feedback", "valid"), ("state",))
        self._trims = not isinstance(self._graph.get_inputs()[1].shape[1], int)
        """Whether the graph takes fewer columns than the longest session that it reads."""

    def after(self, sessions: Sequence[Session], _: Sequence[object] = ()) -> list[After]:
        """Return the state after each session; rows that were never trained must be UNKNOWN already."""
        longest = max((len(session.rows) for session in sessions), default=1)
        shape = (len(sessions), min(max(longest, 1), self._length) if self._trims else self._length)
        rows, feedback = np.zeros(shape, np.int64), np.full(shape, FEEDBACK_HIDDEN, np.int64)
        lengths = np.array([min(len(session.rows), self._length) for session in sessions])
        for i, (session, length) in enumerate(zip(sessions, lengths.tolist(), strict=True)):
            rows[i, :length] = session.rows[len(session.rows) - length :]
            feedback[i, :length] = session.feedback[len(session.rows) - length :]
        valid = np.arange(shape[1]) < lengths[:, None]
        values = np.empty((NUM_SPECIALS + rows.size, self._width), np.float32)
        values[:NUM_SPECIALS] = self._table[:NUM_SPECIALS]
        values[NUM_SPECIALS:] = self._table[rows.ravel()]
        tracks = np.where(valid, np.arange(rows.size).reshape(shape) + NUM_SPECIALS, 0)
        inputs = {"values": values, "tracks": tracks, "feedback": feedback, "valid": valid}
        states, *of_listening = self._graph.run(None, inputs)
        pairs = [(one.rows[-self._length :], one.feedback[-self._length :]) for one in sessions]
        if not of_listening:
            return [After(state, *pair) for state, pair in zip(states, pairs, strict=True)]
        direction, level = of_listening
        outputs = zip(states, pairs, direction, level, strict=True)
        return [After(state, *pair, u, float(c)) for state, pair, u, c in outputs]


def known_session(rows: Sequence[int], feedback: Sequence[int], is_candidate: NDArray[np.bool_]) -> Session:
    """Return the session that a model reads: without unknown tracks, never trained ones as UNKNOWN."""
    pairs = [
        (row if is_candidate[row] else UNKNOWN, code)
        for row, code in zip(rows, feedback, strict=True)
        if row >= NUM_SPECIALS
    ]
    return Session(tuple(row for row, _ in pairs), tuple(code for _, code in pairs))
