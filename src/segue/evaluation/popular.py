"""Candidates sampled by training popularity: as hard rivals as listeners know, in integer arithmetic.

Draw j of a session: u = (the upper 32 bits of splitmix64(state + j * gamma), as in `candidate_draws`) times the number
of plays, shifted right by 32; the draw is the track whose plays hold play u, where tracks stand by ascending row, each
with as many plays as it has in training. Draws that hit a track of the session, held-out ones included, or one drawn
before are passed over. So candidates are distinct, a track comes first in proportion to its plays, and none without a
play in training is ever drawn. Sampling without replacement by popularity needs ever more draws as the popular tracks
are used up; after DRAWS for each candidate asked for, what is lacking is filled with the most played tracks that are
left (equal plays by row), which are the likeliest to come next.
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
"""Draws for each candidate asked for before what is lacking is filled: part of what a candidate is."""
PLAY_BITS: Final = 30
"""Bits that all plays together may take; more of them are halved, rounded up, until they do (2.7 billion: twice)."""


@dataclass(frozen=True)
class PopularPool:
    """Tracks played in training, drawn by their plays. Made by `PopularPool.of`."""

    rows: Int[Tensor, " C"]
    """Candidates with a play in training, ascending, int32."""
    plays_to: Int[Tensor, " C"]
    """Plays of each row and all before it, int64."""
    by_plays: Int[Tensor, " C"]
    """The same rows, the most played first, equal plays by row, int64."""
    longest: int
    shares: NDArray[np.float64]
    """Share of the plays of each row, [C]."""

    @classmethod
    def of(cls, candidates: NDArray[np.int32], counts: NDArray[np.int64], num: int, device: Any) -> PopularPool:
        """Return the pool of `candidates` (ascending) with training plays `counts` [R], for `num` a session."""
        rows = candidates[counts[candidates] > 0].astype(np.int32)
        plays = halved(counts[rows])
        order = rows[np.argsort(-counts[rows], kind="stable")]
        on_device = [torch.from_numpy(part).to(device) for part in (rows, np.cumsum(plays), order.astype(np.int64))]
        shares = plays / max(int(plays.sum()), 1)
        return cls(on_device[0], on_device[1], on_device[2], DRAWS * num, shares)

    def width(self, num: int, num_excluded: int) -> int:
        """Return so many draws that `num` distinct rows that are not excluded are mostly among them.

        n draws hold sum of 1 - (1 - share)^n distinct rows on average; excluded ones are counted as the most played.
        """
        width, rest = num + 16, np.sort(self.shares)[: max(len(self.shares) - num_excluded, 0)]
        while width < self.longest and -np.expm1(width * np.log1p(-np.minimum(rest, 0.5))).sum() < num + 4 * np.sqrt(
            num
        ):
            width += width // 4
        return min(width, self.longest)

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session, table rows, int64."""
        play = candidate_draws_torch(keys, seed, width, int(self.plays_to[-1]))
        place = torch.searchsorted(self.plays_to, play, right=True)
        return self.rows.index_select(0, place.view(-1)).view(place.shape).long()

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
