"""The sampled candidates of many sessions of a store, drawn in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.evaluation.candidates import sampled_candidates
from segue.store import Store

BLOCK: Final = 512
"""Sessions drawn at a time, so that memory stays flat."""
NONE: Final = -1
"""Stands where a session has fewer eligible tracks than asked for."""


@dataclass(frozen=True)
class Candidates:
    """Distinct tracks per session, in the order drawn."""

    rows: NDArray[np.int32]
    """[N, K] table rows, NONE where fewer are eligible."""
    num_fewer: int
    """Sessions with fewer than K eligible tracks."""

    def of(self, chosen: NDArray[np.int64]) -> Candidates:
        """Return those of the sessions `chosen` (indices of rows)."""
        rows = self.rows[chosen]
        return Candidates(rows, int((rows[:, -1:] == NONE).sum()))


def session_candidates(
    store: Store, session: NDArray[np.int64], candidates: NDArray[np.int32], num: int, seed: int
) -> Candidates:
    """Return `num` distinct candidates for each session, none of them a track of that session, held-out ones included.

    A function of (seed, session key) and the candidates alone; see `sampled_candidates`.
    """
    rows = np.full((len(session), num), NONE, dtype=np.int32)
    allowed = torch.from_numpy(candidates.astype(np.int64))
    keys = np.asarray(store.session_key).view(np.int64)
    for start in range(0, len(session), BLOCK):
        block = session[start : start + BLOCK]
        heard = torch.from_numpy(_heard(store, block))
        drawn, real = sampled_candidates(torch.from_numpy(keys[block]), heard, allowed, seed=seed, num=num)
        rows[start : start + BLOCK] = drawn.masked_fill(~real, NONE).numpy()
    return Candidates(rows, int((rows[:, -1:] == NONE).sum()))


def _heard(store: Store, block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every track of the sessions, [B, longest], 0 on padding."""
    begin, end = store.offsets[block], store.offsets[block + 1]
    place = begin[:, None] + np.arange(int((end - begin).max(initial=0)))
    inside = place < end[:, None]
    return np.where(inside, store.tracks[np.minimum(place, store.num_rows - 1)], 0).astype(np.int64)
