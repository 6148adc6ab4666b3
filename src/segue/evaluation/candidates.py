"""Candidates of the sampled protocols: a function of (seed, session key) alone, equal on every machine."""

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
    """The rows that may be drawn, and an endless sequence of draws of them for each session."""

    @property
    def rows(self) -> Int[Tensor, " C"]:
        """All rows that may be drawn, ascending, on the device that draws."""

    @property
    def longest(self) -> int:
        """Most draws a session; what is lacking then follows from `last`."""

    def width(self, num: int, num_excluded: int) -> int:
        """Return so many draws, `num` or more, that `num` new ones are almost always among them."""

    def drawn(self, keys: Int[Tensor, " B"], seed: int, width: int) -> Int[Tensor, "B W"]:
        """Return draws 0..width - 1 of each session, table rows, int64: a function of (seed, key, j) alone."""

    def last(self, size: int) -> Int[Tensor, " S"]:
        """Return the rows that follow after `longest` draws, at most `size`, int64."""


class UniformPool:
    """Every row is drawn with the same probability (method, section 5: the sampled protocol).

    Args:
        rows: rows that may be drawn, ascending.
    """

    longest = 2**62
    """There is always a further draw, and each eligible row comes soon."""

    def __init__(self, rows: Int[Tensor, " C"]) -> None:
        self.rows = rows

    def width(self, num: int, num_excluded: int) -> int:
        """Return so many draws that `num` are almost always new: the expected number and six deviations.

        n draws of C rows hold C (1 - e^(-n / C)) distinct ones. More draws change no candidate, fewer ask for a
        second try.
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
        """Return no rows: the draws never end."""
        return self.rows[:0].long()


def pool_candidates(
    keys: Int[Tensor, " B"], excluded: Int[Tensor, "B L"], pool: Pool, *, seed: int, num: int
) -> tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
    """Return K = `num` distinct rows of `pool` for each session, and where they are real.

    Draws that hit a row of `excluded` (0 = padding) or one drawn before are passed over, and the next j is taken.
    Where no more than `num` rows are eligible, all of them are returned, ascending, then padding (0, False).
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
        drawn = pool.drawn(keys[open_], seed, min(width, pool.longest))
        if width >= pool.longest:  # of so many rows at least `num` are eligible: no session stays open
            last = pool.last(num + excluded.shape[1])
            drawn = torch.cat([drawn, last.expand(len(drawn), -1)], dim=1)
        session, place = _passed_over(excluded[open_], drawn)
        done = torch.bincount(session, minlength=len(open_)) <= drawn.shape[1] - num
        rows[open_[done]] = _taken(drawn, session, place, num)[done]
        open_, width = open_[~done], 2 * width
    return rows, valid


def num_eligible(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"]) -> Int[Tensor, " B"]:
    """Return how many of `candidates` (ascending) each row of `excluded` leaves."""
    asked = excluded.to(candidates.dtype)
    place = torch.searchsorted(candidates, asked).clamp(max=len(candidates) - 1)
    ordered = torch.where(candidates[place] == asked, asked, -1).sort(dim=1).values
    distinct = (ordered >= 0) & (ordered != ordered.roll(1, 1))
    distinct[:, :1] = ordered[:, :1] >= 0
    return len(candidates) - distinct.sum(1)


def _passed_over(
    excluded: Int[Tensor, "B L"], drawn: Int[Tensor, "B W"]
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return session and place of each draw that is excluded or was drawn before.

    One sort of (row, place) in one integer puts equal rows side by side, the first drawn first.
    """
    num_excluded, width = excluded.shape[1], excluded.shape[1] + drawn.shape[1]
    bits = width.bit_length()
    keys = torch.cat([excluded.long(), drawn], 1).bitwise_left_shift_(bits)
    keys.bitwise_or_(torch.arange(width, device=keys.device))
    ordered = _sorted(keys)
    session, column = torch.nonzero((ordered[:, 1:] ^ ordered[:, :-1]) < 1 << bits, as_tuple=True)
    place = (ordered[session, column + 1] & ((1 << bits) - 1)) - num_excluded
    real = place >= 0
    return session[real], place[real]


def _sorted(keys: Int[Tensor, "B W"]) -> Int[Tensor, "B W"]:
    """Return each row sorted; on a CPU by NumPy, whose sort of integers is eight times faster than torch's."""
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)
        return keys
    return keys.sort(dim=1).values


def _taken(drawn: Int[Tensor, "B W"], session: Tensor, place: Tensor, num: int) -> Int[Tensor, "B K"]:
    """Return the first `num` draws of each session without those passed over (rows that run out: anything)."""
    rows = drawn[:, :num].clone()
    gaps = torch.unique(session[place < num])
    if len(gaps) == 0:
        return rows
    kept = torch.ones_like(drawn, dtype=torch.bool)
    kept[session, place] = False
    kept = kept[gaps]
    taken = kept & (kept.cumsum(1) <= num)
    full = taken.sum(1) == num
    rows[gaps[full]] = drawn[gaps[full]][taken[full]].view(-1, num)
    return rows


def _all_eligible(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"], num: int) -> Int[Tensor, "B K"]:
    """Return the candidates that are not excluded (at most `num`), ascending, then 0."""
    tracks = candidates.long().expand(len(excluded), -1)
    kept = ~(tracks[:, :, None] == excluded[:, None, :]).any(2)
    rows = torch.zeros(len(excluded), num, dtype=torch.int64, device=tracks.device)
    where = torch.nonzero(kept)
    rows[where[:, 0], (kept.cumsum(1) - 1)[kept]] = tracks[kept]
    return rows


def _splitmix64_(x: Tensor) -> Tensor:
    """Return the SplitMix64 output for states `x`, in their place."""
    x += _signed(int(GOLDEN_GAMMA))
    x.bitwise_xor_(_shifted(x, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    x.bitwise_xor_(_shifted(x, 27)).mul_(_signed(0x94D049BB133111EB))
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return the logical right shift of 64-bit patterns held as int64."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
