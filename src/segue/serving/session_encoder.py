"""The encoder of an export: sessions in, states out. Its ONNX graphs are checked before they are run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import compose

from segue.errors import FormatError
from segue.exported.folder import ENCODER, LISTEN, ExportFolder
from segue.serving.scoring import After
from segue.skips import FEEDBACK_HIDDEN
from segue.store.vocabulary import NUM_SPECIALS, UNKNOWN

PROVIDERS: Final = ["CPUExecutionProvider"]
_DOMAINS: Final = ("", "ai.onnx")
"""Domains of the operators of ONNX itself; no others are run."""


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


class SessionEncoder:
    """The encoder of one export, with its head for P(listen) if there is one."""

    def __init__(self, export: ExportFolder) -> None:
        """Load the graphs.

        Raises:
            FormatError: one is not an ONNX graph, is not allowed, or cannot be run.
        """
        self._table = export.table
        self._width, self._length = export.manifest.facts.width, export.manifest.facts.max_len
        model = _load_graph(export.path / ENCODER, ("values", "tracks", "feedback", "valid"), ("state",))
        if export.listen_offset is not None:
            path = export.path / LISTEN
            model = _joined(model, _load_graph(path, ("state",), ("direction", "level")), path)
        options = session_options(1)  # more threads do not speed up a few sessions
        try:
            self._graph = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
        except Exception as error:  # ONNX Runtime has no type for its errors
            raise FormatError(f"{export.path / ENCODER} cannot be run ({error}); export the run again") from error
        self._trims = not isinstance(self._graph.get_inputs()[1].shape[1], int)
        """Whether the graph takes fewer columns than the longest session that it reads."""

    def after(self, sessions: Sequence[Session]) -> list[After]:
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


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return options to run a graph with this number of threads, which sleep while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _load_graph(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Return the graph of `path`.

    Raises:
        FormatError: not an ONNX graph; one with data outside its file, operators of another domain, or other inputs and
            outputs than these.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise FormatError(f"{path} is not an ONNX graph ({error}); export the run again") from error
    _check(model, path)
    names = [value.name for value in model.graph.input], [value.name for value in model.graph.output]
    if names != (list(inputs), list(outputs)):
        raise FormatError(f"{path} has inputs and outputs {names}, not {[*inputs]}, {[*outputs]}; export the run again")
    return model


def _joined(encoder: onnx.ModelProto, listen: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return the encoder and the graph of P(listen), of the file `path`, as one graph.

    Raises:
        FormatError: the two do not fit.
    """
    outputs = ["state", *(value.name for value in listen.graph.output)]
    try:
        other = compose.add_prefix(listen, "joined/", rename_inputs=True, rename_outputs=False)
        return compose.merge_models(encoder, other, [("state", "joined/state")], outputs=outputs)
    except Exception as error:  # of several types, some of them in C++
        raise FormatError(f"{path} does not fit the encoder ({error}); export the run again") from error


def _check(model: onnx.ModelProto, path: Path) -> None:
    foreign = {part.domain for part in (*model.opset_import, *model.functions)} - set(_DOMAINS)
    graphs = [*_graphs(model.graph)]
    foreign |= {node.domain for graph in graphs for node in graph.node} - set(_DOMAINS)
    if foreign or len(model.functions):
        raise FormatError(f"{path} uses operators of {sorted(foreign) or 'its own'}; only those of ONNX are run")
    for graph in graphs:
        tensors = [*graph.initializer, *(part for sparse in graph.sparse_initializer for part in (sparse.values,))]
        tensors += [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) for tensor in tensors):
            raise FormatError(f"{path} keeps data outside its file, which is not read; export the run again")


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)
