"""Candidates of the sampled protocol: a function of (seed, session key) alone, equal on every machine."""

from __future__ import annotations

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
    state = _splitmix64(keys ^ mixed_seed)
    steps = torch.arange(num, dtype=torch.int64, device=keys.device) * _signed(int(GOLDEN_GAMMA))
    draws = _splitmix64(state[:, None] + steps)
    return (_shifted(draws, 32) * count) >> 32


def sampled_candidates(
    keys: Int[Tensor, " B"], excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"], *, seed: int, num: int
) -> tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
    """Return K = `num` distinct candidate rows of each session, and where they are real.

    Draws that hit a row of `excluded` (0 = padding) or one drawn before are passed over, and the next j is taken.
    Where no more than `num` rows are eligible, all of them are returned, ascending, then padding (0, False).
    """
    eligible = len(candidates) - _num_distinct(excluded, candidates)
    rows = torch.zeros(len(keys), num, dtype=torch.int64, device=keys.device)
    valid = torch.arange(num, device=keys.device) < eligible[:, None]
    few = torch.nonzero(eligible <= num)[:, 0]
    if len(few):
        rows[few] = _all_eligible(excluded[few], candidates, num)
    open_ = torch.nonzero(eligible > num)[:, 0]
    width = num + num // 4 + 16
    while len(open_):
        drawn = candidates[candidate_draws_torch(keys[open_], seed, width, len(candidates))].long()
        first = _first_seen(torch.cat([excluded[open_].long(), drawn], 1))[:, excluded.shape[1] :]
        done = first.sum(1) >= num
        taken = first & (first.cumsum(1) <= num)
        rows[open_[done]] = drawn[done][taken[done]].view(-1, num)
        open_, width = open_[~done], 2 * width
    return rows, valid


def _all_eligible(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"], num: int) -> Int[Tensor, "B K"]:
    """Return the candidates that are not excluded (at most `num`), ascending, then 0."""
    tracks = candidates.long().expand(len(excluded), -1)
    kept = ~(tracks[:, :, None] == excluded[:, None, :]).any(2)
    rows = torch.zeros(len(excluded), num, dtype=torch.int64, device=tracks.device)
    where = torch.nonzero(kept)
    rows[where[:, 0], (kept.cumsum(1) - 1)[kept]] = tracks[kept]
    return rows


def _num_distinct(excluded: Int[Tensor, "B L"], candidates: Int[Tensor, " C"]) -> Int[Tensor, " B"]:
    """Return how many distinct candidates each row of `excluded` holds."""
    place = torch.searchsorted(candidates.long(), excluded.long()).clamp(max=len(candidates) - 1)
    inside = candidates[place] == excluded
    return (inside & _first_seen(excluded)).sum(1)


def _first_seen(values: Int[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """Return True where a value stands in its row for the first time."""
    ordered, order = values.sort(dim=1, stable=True)
    first = torch.ones_like(values, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.zeros_like(first).scatter(1, order, first)


def _splitmix64(x: Tensor) -> Tensor:
    z = x + _signed(int(GOLDEN_GAMMA))
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return the logical right shift of 64-bit patterns held as int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
