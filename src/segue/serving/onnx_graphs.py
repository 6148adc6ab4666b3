"""The ONNX graphs of an export, which are checked before they are run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import compose

from segue.errors import FormatError
from segue.exported.folder import ENCODER, LISTEN, ExportFolder

PROVIDERS: Final = ["CPUExecutionProvider"]
_DOMAINS: Final = ("", "ai.onnx")
"""Domains of the operators of ONNX itself; no others are run."""


def encoder_graph(export: ExportFolder, inputs: Sequence[str], outputs: Sequence[str]) -> onnxruntime.InferenceSession:
    """Return the graph of the encoder with these inputs and outputs, joined with that of P(listen) if there is one.

    Raises:
        FormatError: one is not an ONNX graph, is not allowed, or cannot be run.
    """
    model = _load_graph(export.path / ENCODER, inputs, outputs)
    if export.listen_offset is not None:
        path = export.path / LISTEN
        model = _joined(model, _load_graph(path, ("state",), ("direction", "level")), path)
    options = session_options(1)  # more threads do not speed up a few sessions
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime has no type for its errors
        raise FormatError(f"{export.path / ENCODER} cannot be run ({error}); export the run again") from error


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
    outputs = [value.name for graph in (encoder.graph, listen.graph) for value in graph.output]
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
