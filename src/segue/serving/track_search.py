"""The candidates with the largest dot products with a state: a scan of all in 4 bits, or of the nearest cells only.

One product of the scan reads half a byte a value, and for one state the time to read them is the time of the scan. The
graph takes the largest score of each block of tracks, and returns the scores of the `depth` blocks whose largest scores
are largest. None of the `depth` best tracks scores less than the least of these largest scores, so all tracks below it
are dropped. Nothing of the catalogue's size is sorted, or leaves the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from segue.errors import InputError
from segue.exported.folder import BLOCK, ExportFolder, let_go
from segue.serving.onnx_graphs import PROVIDERS, session_options

TOGETHER: Final = 4
"""Most states of one product. More would take as long as one after another, and more memory."""
_GRAPH: Final = """<ir_version: 10, opset_import: ["": 18, "com.microsoft": 1]>
scan (float[B, WIDTH] state, int64[1] many) => (float[B, K] best, int64[B, K] blocks, float[B, K, BLOCK] chosen)
<int64[3] shape = {0, -1, BLOCK}, int64[1] last = {2}>
{
    scores = com.microsoft.MatMulNBits <K = WIDTH, N = ROWS, bits = 4, block_size = PART, accuracy_level = 4>
        (state, table, steps)
    by_block = Reshape (scores, shape)
    largest = ReduceMax <keepdims = 0> (by_block, last)
    best, blocks = TopK <largest = 1, sorted = 0> (largest, many)
    which = Unsqueeze (blocks, last)
    chosen = GatherND <batch_dims = 1> (by_block, which)
}
"""
"""K = many. `best` are the largest scores of the K best blocks, in no order; `blocks` the indices of these blocks; and
`chosen` all scores in them. The graphs of an export may not use the domain of ONNX Runtime, `com.microsoft`.
"""
_ROWS: Final = 1 << 16
"""Rows added to the index of cells at a time."""


@dataclass(frozen=True)
class Scanned:
    """The best tracks of one state, in no order."""

    rows: NDArray[np.int32]
    """Table rows [N]; 0 = none."""
    scores: NDArray[np.float32]
    """Approximate dot product with each, [N]."""

    def best(self, depth: int) -> Scanned:
        """Return the best `depth` of them, or all."""
        if len(self.rows) <= depth:
            return self
        best = np.argpartition(self.scores, len(self.scores) - depth)[len(self.scores) - depth :]
        return Scanned(self.rows[best], self.scores[best])


class Scan:
    """The scan of one export's candidates."""

    def __init__(self, export: ExportFolder, threads: int) -> None:
        self._order = np.asarray(export.scan_order)
        self._blocks = len(self._order) // BLOCK
        self._padding = int(np.count_nonzero(self._order[-BLOCK:] == 0))
        if self._blocks:
            self._graph = _scan_graph(export, threads)
            let_go(export.scan_int4)  # the runtime has its own copy

    def around(self, states: NDArray[np.float32], depth: int) -> list[Scanned]:
        """Return approximately the best `depth` tracks of each state [B, D]; a few more, or all if there are fewer."""
        if self._blocks == 0:
            return [Scanned(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(states)
        depth += self._padding
        many = np.array([min(depth, self._blocks)], np.int64)
        states = np.where(np.isfinite(states).all(1, keepdims=True), states, np.float32(0.0))
        scanned = []
        for begin in range(0, len(states), TOGETHER):
            outputs = self._graph.run(None, {"state": states[begin : begin + TOGETHER], "many": many})
            scanned += [self._best_tracks(depth, *of_state) for of_state in zip(*outputs, strict=True)]
        return scanned

    def _best_tracks(
        self, depth: int, best: NDArray[np.float32], blocks: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> Scanned:
        """Return the best tracks of one state, from the outputs of the graph (see there)."""
        values = scores.ravel()
        indices = np.arange(len(values)) if depth > len(blocks) else np.flatnonzero(values >= best.min())
        scanned = Scanned(indices.astype(np.int32), values[indices]).best(depth)
        block, within = np.divmod(scanned.rows, BLOCK)
        rows = self._order[blocks[block] * BLOCK + within]
        real = rows != 0
        return Scanned(rows[real], scanned.scores[real])


class CellScan:
    """The candidates of one export by cells: only those nearest to a state are searched.

    Faiss's inverted file with rows in 8 bits. It is built from an export's arrays when the service starts, because a
    file of Faiss could not be checked before it is read.
    """

    def __init__(self, export: ExportFolder, probes: int, threads: int) -> None:
        """Make the index of an export that has cells.

        Raises:
            InputError: the package of the extra `index` is missing.
        """
        try:
            import faiss
        except ImportError as error:
            raise InputError(
                "--index needs the package of its extra: pip install 'segue[index]' (faiss is missing)"
            ) from error
        cells, table = export.cells, export.table
        assert cells is not None, "an export with cells"
        faiss.omp_set_num_threads(threads)
        width = table.shape[1]
        self._centres = faiss.IndexFlatIP(width)
        self._centres.add(cells.centres)
        kind, metric = faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        by_residual = False  # rows themselves, not their differences from the centre
        self._index = faiss.IndexIVFScalarQuantizer(self._centres, width, len(cells.centres), kind, metric, by_residual)
        rows = np.flatnonzero(cells.of_row >= 0)
        chunks = np.array_split(rows, len(rows) // _ROWS + 1)
        ends = [min(float(table[part].min()) for part in chunks), max(float(table[part].max()) for part in chunks)]
        self._index.train(np.repeat(np.array(ends, np.float32)[:, None], width, axis=1))  # the range of the 8 bits
        for part in chunks:
            values, of_row = np.ascontiguousarray(table[part]), np.ascontiguousarray(cells.of_row[part], np.int64)
            self._index.add_core(len(part), *(faiss.swig_ptr(array) for array in (values, part, of_row)))
        self._index.nprobe = min(probes, len(cells.centres))

    def around(self, states: NDArray[np.float32], depth: int) -> list[Scanned]:
        """Return about the best `depth` of each state [B, D], best first."""
        scores, rows = self._index.search(states, depth)
        return [Scanned(*each) for each in zip(np.maximum(rows, 0).astype(np.int32), scores, strict=True)]


def _scan_graph(export: ExportFolder, threads: int) -> onnxruntime.InferenceSession:
    """Return the graph of the scan, with the table in memory."""
    rows = export.scan_int4
    sizes = {"WIDTH": export.table.shape[1], "ROWS": len(rows), "PART": 2 * rows.shape[2], "BLOCK": BLOCK}
    text = _GRAPH
    for name, size in sizes.items():
        text = text.replace(name, str(size))
    model = onnx.parser.parse_model(text)
    tables: dict[str, NDArray[Any]] = {"table": rows, "steps": export.scan_step.reshape(-1)}
    model.graph.initializer.extend(_given_in_memory(name, value) for name, value in tables.items())
    options = session_options(threads)
    options.enable_mem_pattern = False  # one block of memory for a whole run rarely fits into free memory
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value)) for value in tables.values()]
    options.add_external_initializers([*tables], values)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)


def _given_in_memory(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    """Return an initializer whose data is given in memory when the graph is loaded."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=value.shape, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="given in memory")
    return tensor
