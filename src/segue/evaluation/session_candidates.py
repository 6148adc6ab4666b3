"""The sampled candidates of sessions of a store, drawn on use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.axes import Int
from segue.evaluation.candidates import Pool, UniformPool, num_eligible, pool_candidates
from segue.store import Store

BLOCK: Final = 4096
"""Sessions whose eligible tracks are counted at a time."""
KEPT_BYTES: Final = {"cpu": 0, "cuda": 2**32}
"""Most bytes of stored candidates on a device, see `Candidates.kept`."""
NONE: Final = -1
"""Padding of sessions with fewer eligible tracks than requested."""


@dataclass(frozen=True)
class Candidates:
    """K = `num` distinct tracks for each of N sessions, without the tracks of that session, held-out ones included.

    A function of (seed, session key) and the pool only; see `pool_candidates`. They are drawn again on each use: that
    costs a tenth of scoring them, while storing 450,000 sessions x 1,000 would take 1.8 GB.
    """

    store: Store
    session: NDArray[np.int64]
    """Sessions of the store, [N]."""
    pool: Pool
    """The pool to draw from, on the device of the draws."""
    num: int
    seed: int

    def of(self, chosen: NDArray[np.int64]) -> Candidates:
        """Return the candidates of the sessions `chosen` (indices of `session`)."""
        return replace(self, session=self.session[chosen])

    def rows(self, index: NDArray[np.int64]) -> Int[torch.Tensor, "B K"]:
        """Return table rows of the sessions `index` in the order of the draws, padded with NONE, int64."""
        block, device = self.session[index], self.pool.rows.device
        keys = torch.from_numpy(np.asarray(self.store.session_key[block]).view(np.int64)).to(device)
        heard = torch.from_numpy(_heard(self.store, block)).to(device)
        draws, real = pool_candidates(keys, heard, self.pool, seed=self.seed, num=self.num)
        return draws.masked_fill_(~real, NONE)

    def kept(self) -> Candidates | KeptCandidates:
        """Return the candidates stored on a GPU, 4 bytes each, if they fit in KEPT_BYTES, else `self`.

        On a GPU the draws cost several times as much as scoring.
        """
        if 4 * len(self.session) * self.num > KEPT_BYTES[self.pool.rows.device.type]:
            return self
        starts = range(0, len(self.session), BLOCK)
        blocks = [self.rows(np.arange(i, min(i + BLOCK, len(self.session)))).int() for i in starts]
        return KeptCandidates(torch.cat(blocks), self) if blocks else self

    @cached_property
    def num_fewer(self) -> int:
        """Sessions with fewer than K eligible tracks."""
        starts = range(0, len(self.session), BLOCK)
        heard = (torch.from_numpy(_heard(self.store, self.session[i : i + BLOCK])) for i in starts)
        allowed = self.pool.rows.cpu()
        return sum(int((num_eligible(tracks, allowed) < self.num).sum()) for tracks in heard)


@dataclass(frozen=True)
class KeptCandidates:
    """Stored candidates."""

    tracks: Int[torch.Tensor, "N K"]
    """int32."""
    of_all: Candidates

    @property
    def num(self) -> int:
        """K."""
        return self.of_all.num

    @property
    def num_fewer(self) -> int:
        """Sessions with fewer than K eligible tracks."""
        return self.of_all.num_fewer

    def of(self, chosen: NDArray[np.int64]) -> KeptCandidates:
        """Return the candidates of the sessions `chosen`."""
        index = torch.from_numpy(chosen).to(self.tracks.device)
        return KeptCandidates(self.tracks[index], self.of_all.of(chosen))

    def rows(self, index: NDArray[np.int64]) -> Int[torch.Tensor, "B K"]:
        """Return table rows of the sessions `index`, int64, as `Candidates` does."""
        return self.tracks[torch.from_numpy(index).to(self.tracks.device)].long()


def session_candidates(
    store: Store, session: NDArray[np.int64], candidates: NDArray[np.int32], num: int, seed: int, device: object = "cpu"
) -> Candidates:
    """Return `num` distinct `candidates` (ascending) for each session, drawn uniformly on `device`."""
    allowed = torch.from_numpy(np.ascontiguousarray(candidates, dtype=np.int32)).to(device)  # type: ignore[call-overload]
    return Candidates(store, session, UniformPool(allowed), num, seed)


def _heard(store: Store, block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every track of the sessions, [B, longest], padded with 0."""
    begin, end = store.offsets[block], store.offsets[block + 1]
    row = begin[:, None] + np.arange(int((end - begin).max(initial=0)))
    inside = row < end[:, None]
    return np.where(inside, store.tracks[np.minimum(row, store.num_rows - 1)], 0).astype(np.int64)
