"""The encoder of an export that reads histories: what it read of a session is kept, so that a play costs one place."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from segue.axes import Bool, Float, Int
from segue.exported.folder import ExportFolder
from segue.serving.earlier_plays import EarlierPlays
from segue.serving.kept_states import NOTHING, KeptStates, Session
from segue.serving.onnx_graphs import encoder_graph
from segue.serving.scoring import After
from segue.skips import FEEDBACK_HIDDEN
from segue.store.vocabulary import UNKNOWN

INPUTS: Final = ("rows", "feedback", "position", "valid", "past", "length")
MOST_BYTES: Final = 256 << 20
"""Most bytes of keys and values that are kept for all sessions together."""
_MANY: Final = 32
"""Places above which a session is encoded by itself: others would wait for it, padded to its length."""


@dataclass(frozen=True)
class _Reading:
    """The places of one session that are to be encoded."""

    rows: Int[np.ndarray, " n"]
    """Table rows of the plays before the session, then of its tracks."""
    feedback: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    session: Session
    kept: KeptStates
    begin: int
    """The first place that is encoded now; keys and values of those before it are kept."""

    @property
    def num_new(self) -> int:
        """Places that are encoded now; at least the last."""
        return len(self.rows) - self.begin


class HistoryEncoder:
    """The encoder of one export of histories, with its head for P(listen) if there is one."""

    def __init__(self, export: ExportFolder, is_candidate: Bool[np.ndarray, " R"]) -> None:
        """Load the graphs; tracks that are no candidates are read as UNKNOWN.

        Raises:
            FormatError: one is not an ONNX graph, is not allowed, or cannot be run.
        """
        facts = export.manifest.facts
        self._table, self._width, self._length = export.table, facts.width, facts.max_len
        self._history, self._is_candidate = facts.history, is_candidate
        self._graph = encoder_graph(export, INPUTS, ("state", "added"))
        self._blocks = int(self._graph.get_inputs()[4].shape[1])
        self._kept: OrderedDict[int, weakref.ref[KeptStates]] = OrderedDict()

    def after(self, sessions: Sequence[Session], plays: Sequence[EarlierPlays | None]) -> list[After]:
        """Return the state after each session, whose listener made `plays` before it (None = nothing is known)."""
        result: list[After | None] = [None] * len(sessions)
        short = list[int]()
        for index, (session, each) in enumerate(zip(sessions, plays, strict=True)):
            reading = self._reading(session, each)
            if reading.num_new > _MANY:
                (result[index],) = self._encoded([reading])
            else:
                short.append(index)
        if short:
            readings = [self._reading(sessions[index], plays[index]) for index in short]
            for index, after in zip(short, self._encoded(readings), strict=True):
                result[index] = after
        return [after for after in result if after is not None]

    def _reading(self, session: Session, plays: EarlierPlays | None) -> _Reading:
        history, kept = (None, KeptStates()) if plays is None else (plays.history, plays.kept)
        own = np.arange(len(session.rows))
        rows, feedback, column = np.array(session.rows, np.int64), np.array(session.feedback, np.int64), own
        if history is not None:
            last = history.last(self._history)
            before = np.where(self._is_candidate[last.rows], last.rows, UNKNOWN)
            rows, feedback = np.concatenate([before, rows]), np.concatenate([last.feedback, feedback])
            column = np.concatenate([last.column, own])
        same = 0
        if kept.keys_values is not None:
            same = len(rows) - len(own) + _common(kept.session, session)
        begin = max(min(same, len(rows) - 1), 0)
        return _Reading(rows, feedback, column.clip(max=self._length - 1), session, kept, begin)

    def _encoded(self, readings: Sequence[_Reading]) -> list[After]:
        num, longest = len(readings), max(max(reading.num_new for reading in readings), 1)
        most_kept = max(reading.begin for reading in readings)
        rows, position = np.zeros((num, longest), np.int64), np.zeros((num, longest), np.int64)
        feedback, valid = np.full((num, longest), FEEDBACK_HIDDEN, np.int64), np.zeros((num, longest), np.bool_)
        past = np.zeros((num, self._blocks, most_kept, 2 * self._width), np.float32)
        for i, reading in enumerate(readings):
            new = slice(reading.begin, None)
            rows[i, : reading.num_new], feedback[i, : reading.num_new] = reading.rows[new], reading.feedback[new]
            position[i, : reading.num_new], valid[i, : reading.num_new] = reading.column[new], True
            if reading.begin and reading.kept.keys_values is not None:
                past[i, :, : reading.begin] = reading.kept.keys_values[:, : reading.begin]
        inputs = {
            "rows": self._table[rows],
            "feedback": feedback,
            "position": position,
            "valid": valid,
            "past": past,
            "length": np.array([reading.begin for reading in readings]),
        }
        states, added, *of_listening = self._graph.run(None, inputs)
        for reading, new in zip(readings, added, strict=True):
            self._keep(reading, new[:, : reading.num_new])
        outputs = zip(*of_listening, strict=True) if of_listening else ((None, 0.0) for _ in readings)
        return [
            After(state, one.session.rows[-self._length :], one.session.feedback[-self._length :], u, float(c))
            for one, state, (u, c) in zip(readings, states, outputs, strict=True)
        ]

    def _keep(self, reading: _Reading, added: Float[np.ndarray, "K n E"]) -> None:
        """Keep the keys and values of a session, unless they are kept already.

        Nor where those before `reading.begin` are gone: another session of the batch may have replaced them.
        """
        kept, values, num = reading.kept, reading.kept.keys_values, len(reading.rows)
        same = 0
        if values is not None:
            same = num - len(reading.session.rows) + _common(kept.session, reading.session)
        if same < reading.begin or (values is not None and same == num):
            return
        if values is None or values.shape[1] < num:
            room = np.zeros((self._blocks, num + self._length, 2 * self._width), np.float32)
            if values is not None:
                room[:, : reading.begin] = values[:, : reading.begin]
            values = room
        values[:, reading.begin : num] = added
        kept.keys_values, kept.session = values, reading.session
        self._used(kept)

    def _used(self, kept: KeptStates) -> None:
        """Forget what was not used for the longest time, so that at most MOST_BYTES are kept."""
        self._kept.pop(id(kept), None)
        self._kept[id(kept)] = weakref.ref(kept)  # it ends with its session's earlier plays
        living = [each for each in (ref() for ref in self._kept.values()) if each is not None]
        total = sum(each.keys_values.nbytes for each in living if each.keys_values is not None)
        self._kept = OrderedDict((id(each), weakref.ref(each)) for each in living)
        while total > MOST_BYTES and len(self._kept) > 1:
            _, ref = self._kept.popitem(last=False)
            oldest = ref()
            if oldest is not None and oldest.keys_values is not None:
                total -= oldest.keys_values.nbytes
                oldest.keys_values, oldest.session = None, NOTHING


def _common(one: Session, other: Session) -> int:
    """Return how many tracks two sessions have in common from the beginning on."""
    pairs = zip(zip(one.rows, one.feedback, strict=True), zip(other.rows, other.feedback, strict=True), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
