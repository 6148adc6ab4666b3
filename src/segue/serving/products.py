"""Products of states with all candidates' rows, as graphs that are made here and run by ONNX Runtime.

Of the scores of all tracks only the best of each block are looked at, then all that stand in the blocks whose best are
best: nothing of the size of the catalogue is sorted, and nothing of that size leaves a graph.

    eight bits   one integer product; 16 states take little more than one; D bytes a track are read.
    four bits    D / 2 bytes a track, half the time of the other for one state; every state costs nearly as much again.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from segue.exported.folder import BLOCK
from segue.serving.graphs import session_options

_OPSET: Final = 18
_DOMAIN: Final = "com.microsoft"
"""Where ONNX Runtime keeps products with rows in 4 bits. Graphs of files may not ask for it."""


def eight_bits(
    columns: NDArray[np.int8], scale: NDArray[np.float32], zero: int, threads: int
) -> onnxruntime.InferenceSession:
    """Return the graph: state uint8 [B, D], many int64 [1] = K -> best float32 [B, K], blocks int64, found [B, K, 64].

    `best` are the largest scores of the K best blocks, in no order, `blocks` which these are, `found` what stands in
    them. Scores are in no unit: only those of one state compare.

    Args:
        columns: int8 [D, N].
        scale: float32 [N / 64] of each block.
        zero: what is subtracted from a state.
        threads: that work on one product.
    """
    constants: dict[str, NDArray[Any]] = {"zero": np.array(zero, np.uint8), "scale": scale}
    nodes = [
        helper.make_node("MatMulInteger", ["state", "table", "zero"], ["sums"]),
        *_largest_of_blocks("whole"),
        helper.make_node("Cast", ["whole"], ["largest_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["largest_float", "scale"], ["largest"]),
        *_best_blocks("there"),
        helper.make_node("Gather", ["scale", "blocks"], ["scales"]),
        helper.make_node("Unsqueeze", ["scales", "last"], ["scale_of_each"]),
        helper.make_node("Cast", ["there"], ["there_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["there_float", "scale_of_each"], ["found"]),
    ]
    state = helper.make_tensor_value_info("state", TensorProto.UINT8, ["B", len(columns)])
    return _session(nodes, constants, {"table": columns}, state, threads)


def four_bits(
    halves: NDArray[np.uint8], steps: NDArray[np.float32], width: int, threads: int
) -> onnxruntime.InferenceSession:
    """Return the graph: state float32 [B, D], many int64 [1] = K -> best, blocks and found as above.

    Args:
        halves: uint8 [N, P, W / 2], two values a byte.
        steps: float32 [N, P].
        width: D, at most P W.
        threads: that work on one product.
    """
    shape = {"K": width, "N": len(halves), "bits": 4, "block_size": 2 * halves.shape[2], "accuracy_level": 4}
    nodes = [
        helper.make_node("MatMulNBits", ["state", "table", "steps"], ["sums"], domain=_DOMAIN, **shape),
        *_largest_of_blocks("largest"),
        *_best_blocks("found"),
    ]
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, ["B", width])
    return _session(nodes, {}, {"table": halves, "steps": steps.reshape(-1)}, state, threads)


def _largest_of_blocks(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Reshape", ["sums", "shape"], ["by_block"]),
        helper.make_node("ReduceMax", ["by_block", "last"], [name], keepdims=0),
    ]


def _best_blocks(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("TopK", ["largest", "many"], ["best", "blocks"], largest=1, sorted=0),
        helper.make_node("Unsqueeze", ["blocks", "last"], ["which"]),
        helper.make_node("GatherND", ["by_block", "which"], [name], batch_dims=1),
    ]


def _session(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    tables: dict[str, NDArray[Any]],
    state: onnx.ValueInfoProto,
    threads: int,
) -> onnxruntime.InferenceSession:
    """Return a graph that can be run; its `tables` are given as they lie in memory."""
    constants = constants | {"shape": np.array([0, -1, BLOCK], np.int64), "last": np.array([2], np.int64)}
    graph = helper.make_graph(
        nodes,
        "scan",
        [state, helper.make_tensor_value_info("many", TensorProto.INT64, [1])],
        [
            helper.make_tensor_value_info("best", TensorProto.FLOAT, ["B", "K"]),
            helper.make_tensor_value_info("blocks", TensorProto.INT64, ["B", "K"]),
            helper.make_tensor_value_info("found", TensorProto.FLOAT, ["B", "K", BLOCK]),
        ],
        [
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
            *(_outside(name, value) for name, value in tables.items()),
        ],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = session_options(threads)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value)) for value in tables.values()]
    options.add_external_initializers([*tables], values)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _outside(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    """Return an initializer whose data is given in memory when the graph is loaded."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=value.shape, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="given in memory")
    return tensor
