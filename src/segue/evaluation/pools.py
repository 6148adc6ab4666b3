"""Pools of candidates: rows, and a sequence of draws from them for each session, equal on every machine.

Draw j of a session is a function of (seed, session key, j) only, in integer arithmetic: u = the upper 32 bits of
splitmix64(state + j * gamma) with state = splitmix64(key ^ splitmix64(seed)); u times a count, shifted right by 32, is
an index below that count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Int
from segue.hashing import GOLDEN_GAMMA, splitmix64

DRAWS: Final = 64
"""Draws by popularity per candidate before missing ones are filled; part of the definition of the candidates."""
PLAY_BITS: Final = 30
"""Most bits of the sum of plays; larger counts are halved, rounded up, until it fits (2.7 billion plays: twice)."""


def candidate_draws(keys: Int[Tensor, " B"], seed: int, num: int, count: int) -> Int[Tensor, "B num"]:
    """Return draws 0..num - 1 of each session, indices below `count` (< 2**31), int64, on the device of the keys.

    `keys`: session keys as int64 (the same 64 bits).
    """
    mixed_seed = int(splitmix64(np.asarray([seed], np.uint64)).view(np.int64)[0])
    state = _splitmix64_(keys ^ mixed_seed)
    steps = torch.arange(num, dtype=torch.int64, device=keys.device) * _signed(int(GOLDEN_GAMMA))
    draws = _splitmix64_(state[:, None] + steps)
    return _shifted(draws, 32).mul_(count).bitwise_right_shift_(32)


@dataclass(frozen=True)
class UniformPool:
    """A pool with equal probabilities (method, section 5: the sampled protocol)."""

    rows: Int[Tensor, " C"]
    """All rows of the pool, ascending, on the device of the draws."""

    def width(self, num: int, num_excluded: int) -> int:
        """Return a number of draws of which `num` are almost always new: the expected number plus six deviations.

        n draws of C rows contain C (1 - e^(-n / C)) distinct ones. More draws do not change the candidates, fewer need
        a second try.
        """
        count, wanted = len(self.rows), num + num_excluded
        if 2 * wanted > count:
            return 2 * num + 16
        expected = -count * math.log1p(-wanted / count)
        return num + 16 + math.ceil(expected - num + 6 * math.sqrt(expected - num))

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session (see `candidate_draws`), table rows, int64."""
        draws = candidate_draws(keys, seed, width, len(self.rows))
        return self.rows.index_select(0, draws.view(-1)).view(draws.shape).long()


@dataclass(frozen=True)
class PopularPool:
    """A pool of tracks drawn in proportion to training plays; create it with `PopularPool.of`.

    A draw is the track of a play, with all training plays ordered by row. So candidates are distinct, the first is
    drawn in proportion to plays, and tracks without a training play are not drawn. Sampling without replacement needs
    more and more draws as the popular tracks are used up; after DRAWS per candidate, missing ones are filled with the
    most played remaining tracks (ties by row), which are the most probable next draws.
    """

    rows: Int[Tensor, " C"]
    """Candidates with a play in training, ascending, int32."""
    plays_to: Int[Tensor, " C"]
    """Plays of each row and all before it, int64."""
    by_plays: Int[Tensor, " C"]
    """The same rows, most played first, ties by row, int64."""
    longest: int
    """Most draws per session; missing candidates then come from `by_plays`."""
    shares: NDArray[np.float64]
    """Shares of the plays of the rows, ascending, [C]."""

    @classmethod
    def of(cls, candidates: NDArray[np.int32], counts: NDArray[np.int64], num: int, device: Any) -> PopularPool:
        """Return the pool of `candidates` (ascending) with training plays `counts` [R], for `num` per session."""
        rows = candidates[counts[candidates] > 0].astype(np.int32)
        plays = halved(counts[rows])
        order = rows[np.argsort(-counts[rows], kind="stable")]
        arrays = rows, np.cumsum(plays), order.astype(np.int64)
        on_device, plays_to, by_plays = (torch.from_numpy(part).to(device) for part in arrays)
        shares = np.sort(plays / max(int(plays.sum()), 1))
        return cls(on_device, plays_to, by_plays, DRAWS * num, shares)

    def width(self, num: int, num_excluded: int) -> int:
        """Return a number of draws that mostly contains `num` distinct rows that are not excluded.

        n draws contain sum of 1 - (1 - share)^n distinct rows on average; excluded rows count as the most played.
        """
        width, shares = num + 16, np.minimum(self.shares[: max(len(self.shares) - num_excluded, 0)], 0.5)
        wanted = num + 4 * np.sqrt(num)
        while width < self.longest and -np.expm1(width * np.log1p(-shares)).sum() < wanted:
            width += width // 4
        return min(width, self.longest)

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session, but at most `longest`, table rows, int64."""
        play = candidate_draws(keys, seed, min(width, self.longest), int(self.plays_to[-1]))
        index = torch.searchsorted(self.plays_to, play, right=True)
        return self.rows.index_select(0, index.view(-1)).view(index.shape).long()


Pool = UniformPool | PopularPool


def halved(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return positive counts, halved and rounded up until their sum has at most PLAY_BITS bits.

    >>> halved(np.array([5, 1])).tolist()
    [5, 1]
    """
    while int(counts.sum()).bit_length() > PLAY_BITS:
        counts = (counts + 1) // 2
    return counts


def _splitmix64_(x: Tensor) -> Tensor:
    """Return the SplitMix64 output for states `x`, computed in place."""
    x += _signed(int(GOLDEN_GAMMA))
    x.bitwise_xor_(_shifted(x, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    x.bitwise_xor_(_shifted(x, 27)).mul_(_signed(0x94D049BB133111EB))
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return the logical right shift of 64-bit patterns in int64."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
