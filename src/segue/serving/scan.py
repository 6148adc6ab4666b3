"""All candidates in a few bits: which are the best of a state.

The `depth` best tracks stand in the `depth` blocks whose best are best, and none of them is worse than the worst of
those blocks' best: what is as good as that is looked at, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.exported.folder import BLOCK, ExportFolder, let_go
from segue.serving.products import eight_bits, four_bits

FEW: Final = 4
"""States up to which rows in 4 bits are read faster than rows in 8 bits are multiplied."""
TOGETHER: Final = 16
"""States of one product at most: what it works in is of their number times that of all tracks."""
_CPU: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Scanned:
    """The best tracks of one state, in no order."""

    rows: NDArray[np.int32]
    """Table rows [N]; 0 = none."""
    scores: NDArray[np.float32]
    """About the dot product with each, times what is the same for all of one state, [N]."""

    def best(self, depth: int) -> Scanned:
        """Return the best `depth` of them, or all."""
        if len(self.rows) <= depth:
            return self
        places = np.argpartition(self.scores, len(self.scores) - depth)[len(self.scores) - depth :]
        return Scanned(self.rows[places], self.scores[places])


class Scan:
    """The scan of one export's candidates: in 4 bits for a few states, in 8 bits for many at a time."""

    def __init__(self, export: ExportFolder, threads: int) -> None:
        self._half = 127 if multiplies_whole_bytes() else 63
        self._order = np.asarray(export.scan_order)
        self._blocks = len(self._order) // BLOCK
        self._padding = int(np.count_nonzero(self._order[-BLOCK:] == 0))
        if self._blocks:
            width = export.table.shape[1]
            self._few = four_bits(export.scan_int4, export.scan_step, width, threads)
            self._many = eight_bits(export.scan_int8, np.asarray(export.scan_scale), self._half + 1, threads)
            let_go(export.scan_int4)  # the runtime has copies in the order in which it multiplies
            let_go(export.scan_int8)
            for most in (TOGETHER, FEW):  # the largest first: what it worked in has room for all others
                self.around(np.zeros((most, width), np.float32), 1)

    def around(self, states: NDArray[np.float32], depth: int) -> list[Scanned]:
        """Return about the best `depth` of each state [B, D], or all that there are."""
        if self._blocks == 0:
            return [Scanned(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(states)
        depth += self._padding
        many = np.array([min(depth, self._blocks)], np.int64)
        if len(states) <= FEW:
            states = np.where(np.isfinite(states).all(1, keepdims=True), states, np.float32(0.0))
            return self._chosen(depth, *self._few.run(None, {"state": states, "many": many}))
        found = []
        for begin in range(0, len(states), TOGETHER):
            asked = {"state": self._in_bytes(states[begin : begin + TOGETHER]), "many": many}
            found += self._chosen(depth, *self._many.run(None, asked))
        return found

    def _in_bytes(self, states: NDArray[np.float32]) -> NDArray[np.uint8]:
        step = np.abs(states).max(1, keepdims=True) / np.float32(self._half)
        sound = (step > 0) & np.isfinite(step)  # else a state of zeros, or of no numbers
        step = np.where(sound, step, np.float32(1.0))
        whole = np.where(sound, np.rint(states / step), 0.0) + np.float32(self._half + 1)
        return whole.astype(np.uint8)

    def _chosen(
        self, depth: int, best: NDArray[np.float32], blocks: NDArray[np.int64], found: NDArray[np.float32]
    ) -> list[Scanned]:
        chosen = []
        for bests, which, scores in zip(best, blocks, found.reshape(len(found), -1), strict=True):
            places = np.arange(len(scores)) if depth > len(which) else np.flatnonzero(scores >= bests.min())
            scanned = Scanned(places.astype(np.int32), scores[places]).best(depth)
            block, column = np.divmod(scanned.rows, BLOCK)
            chosen.append(Scanned(self._order[which[block] * BLOCK + column], scanned.scores))
        return chosen


def multiplies_whole_bytes() -> bool:
    """Return whether the machine adds products of 8-bit numbers without loss.

    Where it does not (x86 before VNNI), two products of a byte and a signed byte may not fit 16 bits: then 7 are used.
    """
    try:
        told = _CPU.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in told for word in ("avx512_vnni", "avx_vnni", "asimddp"))
