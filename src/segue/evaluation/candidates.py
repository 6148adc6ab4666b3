"""Candidates of the sampled protocols: a function of (seed, session key) only, equal on every machine."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Bool, Int
from segue.hashing import GOLDEN_GAMMA, splitmix64


def candidate_draws(keys: NDArray[np.uint64], seed: int, num: int, count: int) -> NDArray[np.int64]:
    """Return draws 0..num - 1 of each session, indices below `count` (< 2**31), int64 [B, num].

    Draw j = splitmix64(state + j * gamma) with state = splitmix64(key ^ splitmix64(seed)), its upper 32 bits times
    `count`, shifted right by 32.
    """
    state = splitmix64(np.asarray(keys, np.uint64) ^ splitmix64(np.asarray([seed], np.uint64)))
    with np.errstate(over="ignore"):
        draws = splitmix64(state[:, None] + np.arange(num, dtype=np.uint64) * GOLDEN_GAMMA)
    return (((draws >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def candidate_draws_torch(keys: Int[Tensor, " B"], seed: int, num: int, count: int) -> Int[Tensor, "B num"]:
    """Return what `candidate_draws` returns, of keys as int64 (the same 64 bits), on the keys' device."""
    mixed_seed = int(splitmix64(np.asarray([seed], np.uint64)).view(np.int64)[0])
    state = _splitmix64_(keys ^ mixed_seed)
    steps = torch.arange(num, dtype=torch.int64, device=keys.device) * _signed(int(GOLDEN_GAMMA))
    draws = _splitmix64_(state[:, None] + steps)
    return _shifted(draws, 32).mul_(count).bitwise_right_shift_(32)


@runtime_checkable
class Pool(Protocol):
    """A set of rows, and an endless sequence of draws from it for each session."""

    @property
    def rows(self) -> Int[Tensor, " C"]:
        """All rows of the pool, ascending, on the device of the draws."""

    @property
    def longest(self) -> int:
        """Most draws per session; missing candidates then come from `last`."""

    def width(self, num: int, num_excluded: int) -> int:
        """Return a number of draws, at least `num`, that almost always contains `num` new rows."""

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session, table rows, int64: a function of (seed, key, j) only."""

    def last(self, size: int) -> Int[Tensor, " S"]:
        """Return the rows after `longest` draws, at most `size`, int64."""


class UniformPool:
    """A pool with equal probabilities (method, section 5: the sampled protocol).

    Args:
        rows: rows of the pool, ascending.
    """

    longest = 2**62
    """Draws do not end."""

    def __init__(self, rows: Int[Tensor, " C"]) -> None:
        self.rows = rows

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
        """Return draws 0..width - 1 of each session (see `candidate_draws`)."""
        draws = candidate_draws_torch(keys, seed, width, len(self.rows))
        return self.rows.index_select(0, draws.view(-1)).view(draws.shape).long()

    def last(self, size: int) -> Int[Tensor, " S"]:
        """Return no rows: the draws do not end."""
        return self.rows[:0].long()


def pool_candidates(
    keys: Int[Tensor, " B"], excluded: Int[Tensor, "B L"], pool: Pool, *, seed: int, num: int
) -> tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
    """Return K = `num` distinct rows of `pool` for each session, and which of them are real.

    Draws of a row in `excluded` (0 = padding), or of one drawn before, are skipped in favour of the next j. If at most
    `num` rows are eligible, all of them are returned, ascending, then padding (0, False).
    """
    eligible = num_eligible(excluded, pool.rows)
    rows = torch.zeros(len(keys), num, dtype=torch.int64, device=keys.device)
    valid = torch.arange(num, device=keys.device) < eligible[:, None]
    few = torch.nonzero(eligible <= num)[:, 0]
    if len(few):
        rows[few] = _all_eligible(excluded[few], pool.rows, num)
    open_ = torch.nonzero(eligible > num)[:, 0]
    width = pool.width(num, excluded.shape[1])
    while len(open_):
        draws = pool.drawn(keys[open_], seed, min(width, pool.longest))
        if width >= pool.longest:  # enough rows for every session
            last = pool.last(num + excluded.shape[1])
            draws = torch.cat([draws, last.expand(len(draws), -1)], dim=1)
        session, index = _skipped_draws(excluded[open_], draws)
        done = torch.bincount(session, minlength=len(open_)) <= draws.shape[1] - num
        rows[open_[done]] = _taken(draws, session, index, num)[done]
        open_, width = open_[~done], 2 * width
    return rows, valid


def num_eligible(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"]) -> Int[Tensor, " B"]:
    """Return the number of `candidates` (ascending) that are not in each row of `excluded`."""
    rows = excluded.to(candidates.dtype)
    index = torch.searchsorted(candidates, rows).clamp(max=len(candidates) - 1)
    ordered = torch.where(candidates[index] == rows, rows, -1).sort(dim=1).values
    distinct = (ordered >= 0) & (ordered != ordered.roll(1, 1))
    distinct[:, :1] = ordered[:, :1] >= 0
    return len(candidates) - distinct.sum(1)


def _skipped_draws(
    excluded: Int[Tensor, "B L"], draws: Int[Tensor, "B W"]
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return session and index of each draw that is excluded or was drawn before.

    One sort of (row, index) in one integer groups equal rows, the first drawn first.
    """
    num_excluded, width = excluded.shape[1], excluded.shape[1] + draws.shape[1]
    bits = width.bit_length()
    keys = torch.cat([excluded.long(), draws], 1).bitwise_left_shift_(bits)
    keys.bitwise_or_(torch.arange(width, device=keys.device))
    ordered = _sorted(keys)
    session, column = torch.nonzero((ordered[:, 1:] ^ ordered[:, :-1]) < 1 << bits, as_tuple=True)
    index = (ordered[session, column + 1] & ((1 << bits) - 1)) - num_excluded
    real = index >= 0
    return session[real], index[real]


def _sorted(keys: Int[Tensor, "B W"]) -> Int[Tensor, "B W"]:
    """Return each row sorted; on a CPU by NumPy, whose sort of integers is eight times faster than torch's."""
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)
        return keys
    return keys.sort(dim=1).values


def _taken(draws: Int[Tensor, "B W"], session: Tensor, index: Tensor, num: int) -> Int[Tensor, "B K"]:
    """Return the first `num` draws of each session without skipped ones (undefined for rows with fewer)."""
    rows = draws[:, :num].clone()
    gaps = torch.unique(session[index < num])
    if len(gaps) == 0:
        return rows
    is_new = torch.ones_like(draws, dtype=torch.bool)
    is_new[session, index] = False
    is_new = is_new[gaps]
    taken = is_new & (is_new.cumsum(1) <= num)
    full = taken.sum(1) == num
    rows[gaps[full]] = draws[gaps[full]][taken[full]].view(-1, num)
    return rows


def _all_eligible(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"], num: int) -> Int[Tensor, "B K"]:
    """Return the candidates that are not excluded (at most `num`), ascending, padded with 0."""
    tracks = candidates.long().expand(len(excluded), -1)
    is_eligible = ~(tracks[:, :, None] == excluded[:, None, :]).any(2)
    rows = torch.zeros(len(excluded), num, dtype=torch.int64, device=tracks.device)
    where = torch.nonzero(is_eligible)
    rows[where[:, 0], (is_eligible.cumsum(1) - 1)[is_eligible]] = tracks[is_eligible]
    return rows


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
