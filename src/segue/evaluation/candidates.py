"""The candidates of the sampled protocols: K distinct tracks for each session, drawn on use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Bool, Int
from segue.evaluation.pools import Pool, PopularPool, UniformPool
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
    stored: Int[Tensor, "N K"] | None = None
    """The candidates of all sessions, int32, if they are stored."""

    def of(self, chosen: NDArray[np.int64]) -> Candidates:
        """Return the candidates of the sessions `chosen` (indices of `session`)."""
        stored = None if self.stored is None else self.stored[torch.from_numpy(chosen).to(self.stored.device)]
        return replace(self, session=self.session[chosen], stored=stored)

    def rows(self, index: NDArray[np.int64]) -> Int[Tensor, "B K"]:
        """Return table rows of the sessions `index` in the order of the draws, padded with NONE, int64."""
        if self.stored is not None:
            return self.stored[torch.from_numpy(index).to(self.stored.device)].long()
        block, device = self.session[index], self.pool.rows.device
        keys = torch.from_numpy(np.asarray(self.store.session_key[block]).view(np.int64)).to(device)
        heard = torch.from_numpy(_heard(self.store, block)).to(device)
        draws, real = pool_candidates(keys, heard, self.pool, seed=self.seed, num=self.num)
        return draws.masked_fill_(~real, NONE)

    def kept(self) -> Candidates:
        """Return the candidates stored on a GPU, 4 bytes each, if they fit in KEPT_BYTES, else `self`.

        On a GPU the draws cost several times as much as scoring.
        """
        if not 0 < 4 * len(self.session) * self.num <= KEPT_BYTES[self.pool.rows.device.type]:
            return self
        return replace(self, stored=torch.cat([self.rows(index).int() for index in self._blocks()]))

    @cached_property
    def num_fewer(self) -> int:
        """Sessions with fewer than K eligible tracks."""
        heard = (torch.from_numpy(_heard(self.store, self.session[index])) for index in self._blocks())
        allowed = self.pool.rows.cpu()
        return sum(int((num_eligible(tracks, allowed) < self.num).sum()) for tracks in heard)

    def _blocks(self) -> Iterator[NDArray[np.int64]]:
        for begin in range(0, len(self.session), BLOCK):
            yield np.arange(begin, min(begin + BLOCK, len(self.session)))


def session_candidates(
    store: Store, session: NDArray[np.int64], candidates: NDArray[np.int32], num: int, seed: int, device: Any = "cpu"
) -> Candidates:
    """Return `num` distinct `candidates` (ascending) for each session, drawn uniformly on `device`."""
    allowed = torch.from_numpy(np.ascontiguousarray(candidates, dtype=np.int32)).to(device)
    return Candidates(store, session, UniformPool(allowed), num, seed)


def _heard(store: Store, block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every track of the sessions, [B, longest], padded with 0."""
    begin, end = store.offsets[block], store.offsets[block + 1]
    row = begin[:, None] + np.arange(int((end - begin).max(initial=0)))
    inside = row < end[:, None]
    return np.where(inside, store.tracks[np.minimum(row, store.num_rows - 1)], 0).astype(np.int64)


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
        draws = pool.drawn(keys[open_], seed, width)
        if isinstance(pool, PopularPool) and width >= pool.longest:  # enough rows for every session
            last = pool.by_plays[: num + excluded.shape[1]]
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
