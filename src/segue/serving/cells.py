"""An index of the candidates: only the cells nearest to a state are searched.

Faiss's inverted file with rows in 8 bits. It is built from an export's arrays when the service starts, because a file
of Faiss could not be checked before it is read.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.errors import InputError
from segue.exported.folder import Cells, ExportFolder
from segue.serving.scan import Scanned

_TOGETHER: Final = 1 << 16


class CellScan:
    """The candidates of one export, by cells."""

    def __init__(self, export: ExportFolder, probes: int, threads: int) -> None:
        """Make the index of an export that has cells.

        Raises:
            InputError: the package of the extra `index` is missing.
        """
        faiss, cells = _faiss(), export.cells
        assert cells is not None, "an export with cells"
        faiss.omp_set_num_threads(threads)
        self._centres = faiss.IndexFlatIP(cells.centres.shape[1])
        self._centres.add(cells.centres)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._centres,
            cells.centres.shape[1],
            len(cells.centres),
            faiss.ScalarQuantizer.QT_8bit_uniform,
            faiss.METRIC_INNER_PRODUCT,
            False,  # rows themselves, not their differences from the centre
        )
        rows = np.flatnonzero(cells.of_row >= 0)
        self._index.train(_extremes(export.table, rows))
        for begin in range(0, len(rows), _TOGETHER):
            _add(faiss, self._index, export.table, rows[begin : begin + _TOGETHER], cells)
        self._index.nprobe = min(probes, len(cells.centres))

    def around(self, states: NDArray[np.float32], depth: int) -> list[Scanned]:
        """Return about the best `depth` of each state [B, D], best first."""
        scores, rows = self._index.search(states, depth)
        return [Scanned(*each) for each in zip(np.maximum(rows, 0).astype(np.int32), scores, strict=True)]


def _extremes(table: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a row of the smallest and one of the largest value [2, D]: the range of the 8 bits."""
    chunks = np.array_split(rows, len(rows) // _TOGETHER + 1)
    ends = [min(float(table[part].min()) for part in chunks), max(float(table[part].max()) for part in chunks)]
    return np.repeat(np.array(ends, np.float32)[:, None], table.shape[1], axis=1)


def _add(faiss: Any, index: Any, table: NDArray[np.float32], rows: NDArray[np.int64], cells: Cells) -> None:
    values = np.ascontiguousarray(table[rows])
    cell = np.ascontiguousarray(cells.of_row[rows], np.int64)
    index.add_core(len(rows), faiss.swig_ptr(values), faiss.swig_ptr(rows), faiss.swig_ptr(cell))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            "--index needs the package of its extra: pip install 'segue[index]' (faiss is missing)"
        ) from error
    return faiss
