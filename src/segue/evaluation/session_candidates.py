"""The sampled candidates of many sessions of a store, drawn when they are asked for."""

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
"""At most so much is kept on a device, see `Candidates.kept`."""
NONE: Final = -1
"""Stands where a session has fewer eligible tracks than asked for."""


@dataclass(frozen=True)
class Candidates:
    """K = `num` distinct tracks for each of N sessions, none of them a track of that session, held-out ones included.

    A function of (seed, session key) and the pool alone; see `pool_candidates`. They are drawn anew each
    time: that costs a tenth of scoring them, and 450,000 sessions x 1,000 would take 1.8 GB to keep.
    """

    store: Store
    session: NDArray[np.int64]
    """Sessions of the store, [N]."""
    pool: Pool
    """What is drawn, and how; on the device that draws."""
    num: int
    seed: int

    def of(self, chosen: NDArray[np.int64]) -> Candidates:
        """Return those of the sessions `chosen` (indices of `session`)."""
        return replace(self, session=self.session[chosen])

    def rows(self, index: NDArray[np.int64]) -> Int[torch.Tensor, "B K"]:
        """Return table rows of the sessions `index` in the order drawn, NONE where fewer are eligible, int64."""
        block, device = self.session[index], self.pool.rows.device
        keys = torch.from_numpy(np.asarray(self.store.session_key[block]).view(np.int64)).to(device)
        heard = torch.from_numpy(_heard(self.store, block)).to(device)
        drawn, real = pool_candidates(keys, heard, self.pool, seed=self.seed, num=self.num)
        return drawn.masked_fill_(~real, NONE)

    def kept(self) -> Candidates | KeptCandidates:
        """Return these drawn once and for all where that pays: on a GPU, in 4 bytes each, if they are not too many.

        There the draws cost several times what scoring them does.
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
    """Candidates that were drawn before."""

    drawn: Int[torch.Tensor, "N K"]
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
        """Return those of the sessions `chosen`."""
        place = torch.from_numpy(chosen).to(self.drawn.device)
        return KeptCandidates(self.drawn[place], self.of_all.of(chosen))

    def rows(self, index: NDArray[np.int64]) -> Int[torch.Tensor, "B K"]:
        """Return table rows of the sessions `index`, int64, as `Candidates` does."""
        return self.drawn[torch.from_numpy(index).to(self.drawn.device)].long()


def session_candidates(
    store: Store, session: NDArray[np.int64], candidates: NDArray[np.int32], num: int, seed: int, device: object = "cpu"
) -> Candidates:
    """Return `num` distinct `candidates` (ascending) for each session, drawn uniformly on `device`."""
    allowed = torch.from_numpy(np.ascontiguousarray(candidates, dtype=np.int32)).to(device)  # type: ignore[call-overload]
    return Candidates(store, session, UniformPool(allowed), num, seed)


def _heard(store: Store, block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every track of the sessions, [B, longest], 0 on padding."""
    begin, end = store.offsets[block], store.offsets[block + 1]
    place = begin[:, None] + np.arange(int((end - begin).max(initial=0)))
    inside = place < end[:, None]
    return np.where(inside, store.tracks[np.minimum(place, store.num_rows - 1)], 0).astype(np.int64)
