"""Candidates sampled by training popularity, in integer arithmetic.

Draw j of a session: u = (the upper 32 bits of splitmix64(state + j * gamma), as in `candidate_draws`) times the number
of plays, shifted right by 32. The draw is the track of play u, with all training plays ordered by row. Draws of a track
of the session, held-out ones included, or of one drawn before, are skipped. So candidates are distinct, the first is
drawn in proportion to plays, and tracks without a training play are not drawn. Sampling without replacement needs more
and more draws as the popular tracks are used up; after DRAWS per candidate, missing ones are filled with the most
played remaining tracks (ties by row), which are the most probable next draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Int
from segue.evaluation.candidates import candidate_draws_torch

DRAWS: Final = 64
"""Draws per candidate before missing ones are filled; part of the definition of the candidates."""
PLAY_BITS: Final = 30
"""Most bits of the sum of plays; larger counts are halved, rounded up, until it fits (2.7 billion plays: twice)."""


@dataclass(frozen=True)
class PopularPool:
    """A pool of tracks drawn in proportion to training plays; create it with `PopularPool.of`."""

    rows: Int[Tensor, " C"]
    """Candidates with a play in training, ascending, int32."""
    plays_to: Int[Tensor, " C"]
    """Plays of each row and all before it, int64."""
    by_plays: Int[Tensor, " C"]
    """The same rows, most played first, ties by row, int64."""
    longest: int
    shares: NDArray[np.float64]
    """Share of the plays of each row, [C]."""

    @classmethod
    def of(cls, candidates: NDArray[np.int32], counts: NDArray[np.int64], num: int, device: Any) -> PopularPool:
        """Return the pool of `candidates` (ascending) with training plays `counts` [R], for `num` per session."""
        rows = candidates[counts[candidates] > 0].astype(np.int32)
        plays = halved(counts[rows])
        order = rows[np.argsort(-counts[rows], kind="stable")]
        on_device = [torch.from_numpy(part).to(device) for part in (rows, np.cumsum(plays), order.astype(np.int64))]
        shares = plays / max(int(plays.sum()), 1)
        return cls(on_device[0], on_device[1], on_device[2], DRAWS * num, shares)

    def width(self, num: int, num_excluded: int) -> int:
        """Return a number of draws that mostly contains `num` distinct rows that are not excluded.

        n draws contain sum of 1 - (1 - share)^n distinct rows on average; excluded rows count as the most played.
        """
        width, shares = num + 16, np.sort(self.shares)[: max(len(self.shares) - num_excluded, 0)]
        while width < self.longest and -np.expm1(width * np.log1p(-np.minimum(shares, 0.5))).sum() < num + 4 * np.sqrt(
            num
        ):
            width += width // 4
        return min(width, self.longest)

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session, table rows, int64."""
        play = candidate_draws_torch(keys, seed, width, int(self.plays_to[-1]))
        index = torch.searchsorted(self.plays_to, play, right=True)
        return self.rows.index_select(0, index.view(-1)).view(index.shape).long()

    def last(self, size: int) -> Int[Tensor, " S"]:
        """Return the `size` most played rows, int64."""
        return self.by_plays[:size]


def halved(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return positive counts, halved and rounded up until their sum has at most PLAY_BITS bits.

    >>> halved(np.array([5, 1])).tolist()
    [5, 1]
    """
    while int(counts.sum()).bit_length() > PLAY_BITS:
        counts = (counts + 1) // 2
    return counts
