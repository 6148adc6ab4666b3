"""All candidates in 8 bits: which blocks of tracks hold the best of a state.

One integer matrix product a batch, the maximum of each block of 64 columns, and the blocks whose maximum, times the
block's scale, is largest. No score leaves the graph but those of the chosen blocks, so that nothing of the size of the
catalogue is sorted or copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from segue.exported.folder import BLOCK, ExportFolder, let_go
from segue.serving.graphs import session_options

BLOCKS: Final = 128
"""Blocks looked into: the best BLOCKS tracks by their score in 8 bits are always among them."""
_OPSET: Final = 18
_CPU: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Scanned:
    """What stands in the best blocks of B states, in no order."""

    rows: NDArray[np.int32]
    """Table rows [B, N]; 0 = padding."""
    scores: NDArray[np.float32]
    """About the dot product with each, [B, N]; -inf at padding."""


class Scan:
    """The scan of one export's candidates."""

    def __init__(self, export: ExportFolder, threads: int) -> None:
        self._order = np.asarray(export.scan_order).reshape(-1, BLOCK)
        self._scale = np.asarray(export.scan_scale)
        self._half = 127 if multiplies_whole_bytes() else 63
        self._blocks = min(BLOCKS, len(self._order))
        self._session: onnxruntime.InferenceSession | None = None
        if self._blocks:
            options = session_options(threads)
            table = onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(export.scan_int8))
            options.add_external_initializers(["table"], [table])
            graph = _graph(export.scan_int8.shape, self._blocks, self._half + 1, self._scale)
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            let_go(export.scan_int8)  # the runtime has a copy in the order in which it multiplies

    def around(self, states: NDArray[np.float32], depth: int) -> Scanned:
        """Return the best blocks of each state [B, D], whatever the `depth`."""
        if self._session is None:
            return Scanned(np.zeros((len(states), 0), np.int32), np.zeros((len(states), 0), np.float32))
        step = np.abs(states).max(1, keepdims=True) / np.float32(self._half)
        sound = (step > 0) & np.isfinite(step)  # else a state of zeros, or of no numbers
        step = np.where(sound, step, np.float32(1.0))
        asked = np.where(sound, np.rint(states / step), 0.0) + np.float32(self._half + 1)
        blocks, sums = self._session.run(None, {"state": asked.astype(np.uint8)})
        scores = sums.astype(np.float32) * (self._scale[blocks][:, :, None] * step[:, :, None])
        rows = self._order[blocks]
        scores[rows == 0] = -np.inf
        return Scanned(rows.reshape(len(states), -1), scores.reshape(len(states), -1))


def multiplies_whole_bytes() -> bool:
    """Return whether the machine adds products of 8-bit numbers without loss.

    Where it does not (x86 before VNNI), two products of a byte and a signed byte may not fit 16 bits: then 7 are used.
    """
    try:
        told = _CPU.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in told for word in ("avx512_vnni", "avx_vnni", "asimddp"))


def _graph(shape: tuple[int, ...], blocks: int, zero: int, scale: NDArray[np.float32]) -> bytes:
    """Return the graph of the scan; its `table` [D, N] is given when it is loaded."""
    width, columns = shape
    constants: dict[str, NDArray[Any]] = {
        "zero": np.array(zero, np.uint8),
        "shape": np.array([0, columns // BLOCK, BLOCK], np.int64),
        "last": np.array([2], np.int64),
        "many": np.array([blocks], np.int64),
        "scale": scale,
    }
    nodes = [
        helper.make_node("MatMulInteger", ["state", "table", "zero"], ["sums"]),
        helper.make_node("Reshape", ["sums", "shape"], ["by_block"]),
        helper.make_node("ReduceMax", ["by_block", "last"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["largest_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["largest_float", "scale"], ["scaled"]),
        helper.make_node("TopK", ["scaled", "many"], ["values", "blocks"], largest=1, sorted=0),
        helper.make_node("Unsqueeze", ["blocks", "last"], ["which"]),
        helper.make_node("GatherND", ["by_block", "which"], ["found"], batch_dims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "scan",
        [helper.make_tensor_value_info("state", TensorProto.UINT8, ["B", width])],
        [
            helper.make_tensor_value_info("blocks", TensorProto.INT64, ["B", blocks]),
            helper.make_tensor_value_info("found", TensorProto.INT32, ["B", blocks, BLOCK]),
        ],
        [
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
            _outside("table", TensorProto.INT8, (width, columns)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
    found: bytes = model.SerializeToString()
    return found


def _outside(name: str, kind: int, dims: tuple[int, ...]) -> onnx.TensorProto:
    """Return an initializer whose data is given in memory when the graph is loaded."""
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=dims, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="given in memory")
    return tensor
