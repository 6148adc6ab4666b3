"""Which earlier plays count for the kinds of `repeats`, and the sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.store import NUM_SPECIALS, PAD

KINDS: Final = 5
"""Own, near, order 2, order 3, around: see `repeats`."""
ORDERS: Final = 3
"""Most last tracks that are looked up as a sequence."""
DISTANCES: Final = (-2, -1, 1, 2, 3, 4, 5)
"""How many plays after a play of the last track a play may be to count as near."""
AROUND: Final = 10

Kind = tuple[Tensor, Tensor]
"""How many plays count, integers [B, Q or 1], and m of each play, [B, Q or 1, C]."""
Sums = tuple[Float[Tensor, "B L K"], Float[Tensor, "B L K"], Float[Tensor, "B L K"]]
"""After each position and of each kind: how many plays count, their mass without the gate, and that of the target."""


@dataclass(frozen=True)
class Heard:
    """The plays before B sessions and those of the sessions, H + L = C of each."""

    tracks: Int[Tensor, "B C"]
    """Table rows; PAD or UNKNOWN where no track is known."""
    feedback: Int[Tensor, "B C"]
    minutes: Int[Tensor, "B H"]
    """From each play before the session to its beginning."""
    session: Int[Tensor, "B L"]
    """The last L columns of `tracks`."""

    @classmethod
    def of(cls, batch: Batch, past: Int[Tensor, "B H three"] | None) -> Heard:
        """Return the plays of a batch and those before: what `PastPlays` gives; None = nothing (H = 0)."""
        if past is None:
            past = batch.offsets.new_zeros(batch.num_sessions, 0, 3)
        tracks = torch.cat([past[:, :, 0], batch.padded.tracks.to(past.dtype)], 1)
        feedback = torch.cat([past[:, :, 1], batch.padded.feedback.to(past.dtype)], 1)
        return cls(tracks, feedback, past[:, :, 2], tracks[:, past.shape[1] :])

    @property
    def num_before(self) -> int:
        """H."""
        return self.minutes.shape[1]

    @property
    def before(self) -> Bool[Tensor, " C"]:
        """Which columns are plays before the session."""
        return torch.arange(self.tracks.shape[1], device=self.tracks.device) < self.num_before

    def until(self, step: int) -> Bool[Tensor, "L C"]:
        """Return which columns come before position l + `step` of the session, for each l."""
        num = self.tracks.shape[1]
        row = torch.arange(self.num_before, num, device=self.tracks.device) + step
        return torch.arange(num, device=self.tracks.device) < row[:, None]

    def same(self) -> Bool[Tensor, "B L C"]:
        """Return which earlier plays are of the track at each position of the session."""
        track = torch.where(self.session >= NUM_SPECIALS, self.session, -1)
        return (self.tracks[:, None] == track[:, :, None]) & self.until(0)


def kinds_of(
    heard: Heard, lasts: list[Tensor], met: Bool[Tensor, "B Q C"], near: Float[Tensor, " D"], again: Float[Tensor, " 1"]
) -> list[Kind]:
    """Return how many plays count for each kind after Q positions of each session, and m of each.

    Args:
        heard: the plays.
        lasts: which plays are of the last track, of the one before it, ..., bool [B, Q, C] each.
        met: which plays before the session are of any of its tracks so far.
        near: weight of each of DISTANCES.
        again: weight in `around` of plays that are `met`.
    """
    is_own = heard.before & (heard.tracks != PAD)
    matches = [one.float() for one in lasts]
    nearby = torch.zeros_like(matches[0])
    for index, distance in enumerate(DISTANCES):
        part = near[index] * later(matches[0], distance, 2)
        nearby = nearby + (part * heard.before if distance > 1 else part)
    pairs = later(matches[0], 1, 2) * later(matches[1], 2, 2)
    triples = pairs * later(matches[2], 3, 2)
    orders = [(match.sum(2), match) for match in (pairs, triples)]
    return [
        (is_own.sum(1, keepdim=True), is_own[:, None].float()),
        (lasts[0].sum(2), nearby),
        *orders,
        (met.sum(2), around(met) * torch.where(met, again, 1.0) * is_own[:, None]),
    ]


def around(met: Bool[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
    """Return how many plays at most AROUND before or after each, and it itself, are `met`."""
    sums = pad(met.float().cumsum(2), (AROUND + 1, AROUND), mode="replicate")
    sums[:, :, : AROUND + 1] = 0.0
    return sums[:, :, 2 * AROUND + 1 :] - sums[:, :, : -2 * AROUND - 1]


def sums_of_cells(
    heard: Heard,
    target: Int[Tensor, "B L"],
    weights: Float[Tensor, "B C two"],
    near: Float[Tensor, " D"],
    again: Float[Tensor, " 1"],
) -> Sums:
    """Return the sums by kind after each position, from all plays after each.

    `weights`: exp(w) of each play, as an own play and of the other kinds, 0 where no track is known.
    """
    same = heard.same()
    lasts = [later(same, rows, 1) for rows in range(ORDERS)]
    of_target = (heard.tracks[:, None] == target[:, :, None]) & heard.until(1)
    parts = []
    met = (same.cumsum(1, dtype=torch.int16) > 0) & heard.before
    for kind, (times, counts) in enumerate(kinds_of(heard, lasts, met, near, again)):
        weight = weights[:, :, min(kind, 1), None]
        sums = (times[:, :, None].float(), counts @ weight, (counts * of_target) @ weight)
        parts.append(torch.cat([part.expand(*target.shape, 1) for part in sums], 2))
    times, whole, of_it = torch.stack(parts, 3).unbind(2)
    return times, whole, of_it


def sums_of_matches(
    heard: Heard,
    target: Int[Tensor, "B L"],
    weights: Float[Tensor, "B C two"],
    near: Float[Tensor, " D"],
    again: Float[Tensor, " 1"],
) -> Sums:
    """Return what `sums_of_cells` returns, from lists of matches: they are few, but their number is not known before.

    So it is faster on a CPU, and impossible in the captured graph of a GPU.
    """
    same, columns, before = heard.same(), heard.tracks.shape[1], heard.num_before
    size, tracks, wanted = target.numel(), heard.tracks.flatten(), target.flatten()
    own_weights, other_weights = (part.flatten() for part in weights.unbind(2))

    def summed(slot: Tensor, values: Tensor) -> Tensor:
        return values.new_zeros(size).index_add(0, slot, values)

    def sums(slot: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        masses = other_weights.index_select(0, cell)
        return summed(slot, masses), summed(slot, masses * (tracks[cell] == wanted[slot]))

    slot, column = _true_cells(same)
    position = slot % target.shape[1]
    cell = slot // target.shape[1] * columns + column
    times, masses = [torch.bincount(slot, minlength=size)], []
    parts = []
    for distance in DISTANCES:
        after = column + distance
        counted = (after >= 0) & ((after < before) if distance > 1 else True)
        parts.append(torch.stack(sums(slot[counted], cell[counted] + distance)))
    masses.append((torch.stack(parts, 2) @ near).unbind(0))
    latest = heard.session.flatten()
    for order in range(1, ORDERS):
        longer = (position >= order) & (column >= order)
        longer[longer.clone()] = tracks[cell[longer] - order] == latest[slot[longer] - order]
        position, column, cell, slot = (part[longer] for part in (position, column, cell, slot))
        times.append(torch.bincount(slot, minlength=size))
        masses.append(sums(slot, cell + 1))
    met = same[:, :, :before].clone()
    for row in range(1, met.shape[1]):
        met[:, row] |= met[:, row - 1]
    num_met, counts = _around_on_cpu(met)
    counts = counts * torch.where(met, again, 1.0)
    slot, column = _true_cells(heard.tracks[:, None, :before] == target.to(tracks.dtype)[:, :, None])
    cell = slot // target.shape[1] * columns + column
    number = counts.flatten().index_select(0, slot * before + column)
    whole = (counts @ weights[:, :before, 1, None]).flatten()
    masses.append((whole, summed(slot, other_weights.index_select(0, cell) * number)))
    times.append(num_met)
    num_own = (heard.tracks[:, :before] != PAD).sum(1)
    owns = weights[:, :before, 0].sum(1)
    spread = [part.repeat_interleave(target.shape[1]) for part in (num_own, owns)]
    times.insert(0, spread[0])
    masses.insert(0, (spread[1], summed(slot, own_weights.index_select(0, cell))))
    whole, of_it = (torch.stack(part, 1).view(*target.shape, KINDS) for part in zip(*masses, strict=True))
    return torch.stack(times, 1).view(*target.shape, KINDS).float(), whole, of_it


def _around_on_cpu(met: Bool[Tensor, "B L H"]) -> tuple[Int[Tensor, " n"], Float[Tensor, "B L H"]]:
    """Return how many plays are `met` at each of n = B L positions, and what `around` returns, three times faster."""
    rows = met.flatten(0, 1).numpy()
    padded = np.pad(rows, ((0, 0), (AROUND + 1, AROUND)))
    sums = np.cumsum(padded, dtype=np.int32).reshape(padded.shape)
    counts = (sums[:, 2 * AROUND + 1 :] - sums[:, : -2 * AROUND - 1]).astype(np.float32)
    return torch.from_numpy(sums[:, -1] - sums[:, 0]), torch.from_numpy(counts).view(met.shape)


def _true_cells(chosen: Bool[Tensor, "B L C"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return where a tensor on the CPU is true: row b * L + l, and column. By NumPy, ten times faster than torch."""
    index = torch.from_numpy(np.flatnonzero(chosen.numpy()))
    columns = max(chosen.shape[2], 1)
    return index // columns, index % columns


def later(values: Tensor, places: int, dim: int) -> Tensor:
    """Return `values` moved `places` along dimension `dim` (before it, if negative), 0 at what is new."""
    if places == 0:
        return values
    size = values.shape[dim]
    moved = min(abs(places), size)
    remaining = values.narrow(dim, 0 if places > 0 else moved, size - moved)
    sides = (moved, 0) if places > 0 else (0, moved)
    return pad(remaining, (0, 0) * (values.dim() - 1 - dim) + sides)
