"""The standing of tracks among all rows of a track table, scored in blocks without [B, V] scores in memory.

A float32 matrix product scores a block; its scores differ from the exact ones (`dots`) by at most `slack`, the
standard bound of a float32 dot product of D terms, D u |x| |y| with u = 2**-24, for any order of summation (Higham
2002, section 3.1). A rival further than `slack` from the target is counted by its fast score, a closer one (some
hundred of a million) by its exact score. So ranks and lists are exact, ties included.

Counting takes few passes over a block: comparisons write 0.0 or 1.0, sums run over chunks of CHUNK columns, and only
chunks with an undecided track, or with a candidate for the best, are examined by cell.

Heads change the scores of a few tracks (successors of the last ones, tracks of the session). So their mass is left out
of the blocks and given at the end.

A bfloat16 product was measured instead (EPYC with AVX512-BF16, 2 threads, a million tracks): its slack is a thousand
times as wide. For targets at rank 100 or 1,350 it ranked 1,090 or 880 sessions/s against 490, but 290 against 460 at
rank 23,000, and 100 against 470 at 160,000. Many held-out tracks rank that low, so the product stays float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.ranking.candidate_table import CHUNK, ROUNDING
from segue.ranking.dots import kernels
from segue.ranking.scores import Mass, Scores
from segue.ranking.standing import NOTHING, Ranking, Standing, member, ranked

CELLS: Final = 2**16
"""Cells whose exact scores are computed at a time."""
FEW: Final = 8
"""Chunks for each of the k best below which the floor rises by scores of cells in place of chunk maxima."""
PENDING: Final = 2**16
"""Most chunks that wait to be examined: 32 MB of scores."""


@torch.no_grad()
def stand(scores: Scores, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None) -> Standing:
    """Return the standing of `tracks` after the sessions of `scores`, the `k` best, and the scores of `scored`."""
    standing = _without_mass(scores, tracks, k)
    if scores.mass is not None:
        standing = _with_mass(scores, scores.mass, standing, tracks, k)
    return standing if scored is None else replace(standing, scored=scores.exact(scored))


def _without_mass(scores: Scores, tracks: Int[Tensor, "B T"], k: int) -> Standing:
    """Return the standing of `tracks`, whose scores have the mass of heads, among rivals that do not have it."""
    table, target_scores = scores.table, scores.exact(tracks)
    lowered = 0 if scores.mass is None else scores.mass.most_alone
    close, best = _Close(scores, tracks, target_scores), _Best(scores, k + lowered if k else 0)
    faster = kernels(scores.device)
    shape = scores.num, table.block_width(scores.num) // CHUNK, CHUNK
    counted = partial(plain_count, flags=torch.empty(shape, device=scores.device)) if faster is None else faster.count
    pending: list[tuple[Tensor, Tensor, Tensor]] = []
    num_pending, due = 0, 1
    for number, (begin, chunks) in enumerate(scores.blocks(), 1):
        undecided, most = counted(chunks, close.low, close.high, close.above)
        if lowered:
            close.leave_out_targets(begin, chunks)
        session, chunk = torch.nonzero(best.promising(chunks, most) | undecided, as_tuple=True)
        pending.append((session, begin + chunk * CHUNK, chunks[session, chunk]))
        num_pending += len(session)
        if number == due or num_pending > PENDING:
            _look(close, best, pending)
            # at these intervals the floor rises before twice as many tracks are compared with it
            num_pending, due = 0, max(due, 2 * number)
    _look(close, best, pending)
    itself = scores.is_candidate(tracks)
    is_nan = target_scores.isnan()  # ranks after every rival
    above = torch.where(is_nan, len(table.candidates) + scores.num_only_mass - itself.long(), close.above)
    equal = torch.where(is_nan, 0, close.equal)
    if scores.only_mass is not None:  # without mass all of them are equal, below all others
        nothing = torch.isneginf(target_scores)
        above = torch.where(nothing, len(table.candidates), above)
        equal += nothing * (scores.num_only_mass - scores.only_mass[tracks].long())
    return Standing(target_scores, above, equal, best.ranking())


def _look(close: _Close, best: _Best, pending: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Examine the cells of the pending chunks: session, index of the first candidate, fast scores."""
    best.raise_floor()
    if pending:
        session, first, cells = (torch.cat(parts) for parts in zip(*pending, strict=True))
        best.note(session, first, cells)
        close.count(session, first, cells)
    pending.clear()


def plain_count(
    chunks: Float[Tensor, "B C W"],
    low: Float[Tensor, "B T"],
    high: Float[Tensor, "B T"],
    above: Int[Tensor, "B T"],
    flags: Float[Tensor, "B C W"],
) -> tuple[Bool[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Return the chunks with a score that is neither above `high` nor below `low`, and the largest score of each chunk.

    The number of scores of the block that are not <= `high` is added to `above`. The largest score is NaN if any is.
    `flags`: memory that is overwritten.
    """
    looked = torch.zeros(chunks.shape[:2], dtype=torch.bool, device=chunks.device)
    for column in range(low.shape[1]):
        one = slice(column, column + 1)
        not_above = torch.le(chunks, high[:, one, None], out=flags).sum(2)
        below = torch.lt(chunks, low[:, one, None], out=flags).sum(2)
        num = chunks.shape[1] * chunks.shape[2] - not_above.sum(1, dtype=torch.float64)
        above[:, column] += num.long()
        looked |= not_above > below
    return looked, chunks.amax(2)


class _Close:
    """Counts rivals above and equal to the targets."""

    def __init__(self, scores: Scores, tracks: Tensor, target_scores: Tensor) -> None:
        self.scores, self.tracks, self.target_scores = scores, tracks, target_scores
        around = scores.slack() + 4 * ROUNDING * target_scores.abs()
        self.low, self.high = target_scores - around, target_scores + around
        self.above, self.equal = torch.zeros_like(tracks), torch.zeros_like(tracks)

    def leave_out_targets(self, begin: int, chunks: Float[Tensor, "B C W"]) -> None:
        """Take targets off the counts that are above themselves: their mass is less than their score in the block."""
        candidates, cells = self.scores.table.candidates, chunks.flatten(1)
        column = torch.searchsorted(candidates, self.tracks) - begin
        inside = (column >= 0) & (column < min(cells.shape[1], len(candidates) - begin))
        cell = cells.gather(1, column.clamp(0, cells.shape[1] - 1))
        self.above -= (inside & member(candidates, self.tracks) & ~(cell <= self.high)).long()

    def count(self, session: Int[Tensor, " n"], first: Int[Tensor, " n"], cells: Float[Tensor, "n W"]) -> None:
        """Count the undecided rivals of chunks by their exact scores."""
        for target in range(self.tracks.shape[1]):
            low, high = self.low[session, target, None], self.high[session, target, None]
            chunk, column = torch.nonzero((cells <= high) & ~(cells < low), as_tuple=True)
            for who, row, other in _exact(self.scores, session[chunk], first[chunk] + column):
                target_scores, rival = self.target_scores[who, target], row != self.tracks[who, target]
                self.above[:, target].index_add_(0, who, (rival & ~(other <= target_scores)).long())
                self.equal[:, target].index_add_(0, who, (rival & (other == target_scores)).long())


class _Best:
    """The k best candidates of each session."""

    def __init__(self, scores: Scores, k: int) -> None:
        self.scores, self.k = scores, k
        self._slack = 2 * scores.slack()
        self._readable = scores.readable
        self._tops = torch.full((scores.num, k), NOTHING, device=scores.device)
        """The k largest chunk maxima so far; at least k tracks have fast scores as large as the last."""
        self._maxima: list[Tensor] = []
        self._floor = torch.full_like(self._slack, NOTHING if k else torch.inf)
        """Fast score below which no track can be among the k best."""
        self._candidates: list[tuple[Tensor, Tensor, Tensor]] = []

    def promising(self, chunks: Float[Tensor, "B C W"], most: Float[Tensor, "B C"]) -> Bool[Tensor, "B C"]:
        """Return the chunks that may contain one of the best, by the largest score of each."""
        looked: Tensor = most >= self._floor
        if not self.scores.table.finite:  # NaN masks the largest score of its chunk
            has_nan = most.isnan()
            looked, most = looked | (has_nan & self._readable), most.masked_fill(has_nan, NOTHING)
        if len(self.scores.table.candidates) < FEW * CHUNK * self.k:  # the k-th largest chunk maximum says little
            cells = chunks.flatten(1).nan_to_num(nan=NOTHING, posinf=torch.inf, neginf=NOTHING)
            most = cells.topk(min(self.k, cells.shape[1]), dim=1).values
        self._maxima.append(most)
        return looked

    def raise_floor(self) -> None:
        """Raise the floor by the chunk maxima since the last call."""
        if self.k == 0 or not self._maxima:
            return
        self._tops = torch.cat([self._tops, *self._maxima], 1).topk(self.k, dim=1).values
        self._maxima = []
        last = self._tops[:, -1:]
        self._floor = last - self._slack - 4 * ROUNDING * last.abs().nan_to_num(posinf=0.0)

    def note(self, session: Int[Tensor, " n"], first: Int[Tensor, " n"], cells: Float[Tensor, "n W"]) -> None:
        """Store the tracks of chunks that may be among the best: session, index, fast score."""
        chunk, column = torch.nonzero(cells >= self._floor[session], as_tuple=True)
        self._candidates.append((session[chunk], first[chunk] + column, cells[chunk, column]))

    def ranking(self) -> Ranking:
        """Return the k best by exact score, ties by lower row."""
        who, index, fast = (torch.cat(parts) for parts in zip(*self._candidates, strict=True))
        above_floor = fast >= self._floor[who, 0]
        exact = _exact(self.scores, who[above_floor], index[above_floor])
        who, rows, scores = (torch.cat(part) for part in zip(*exact, strict=True))
        real = ~scores.isnan()
        return ranked(who[real], rows[real], scores[real], self.scores.num, self.k)


def _exact(
    scores: Scores, who: Int[Tensor, " n"], index: Int[Tensor, " n"]
) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, " m"], Float[Tensor, " m"]]]:
    """Yield sessions, table rows and exact scores of cells by candidate index, without padding."""
    inside = index < len(scores.table.candidates)
    who, rows = who[inside], scores.table.candidates[index[inside]]
    for some, row in zip(torch.split(who, CELLS), torch.split(rows, CELLS), strict=True):
        yield some, row, scores.at(some, row)


def _with_mass(scores: Scores, added: Mass, standing: Standing, tracks: Int[Tensor, "B T"], k: int) -> Standing:
    """Return `standing` with the mass of heads given to the rivals; the scores of `tracks` have it already.

    Mass lowers the scores of at most `most_alone` tracks of a session, so a track without any is among the k best only
    if it was among the k + `most_alone` best before.
    """
    is_candidate = scores.is_candidate(added.rows)
    who, rows, mass, alone = (part[is_candidate] for part in (added.who, added.rows, added.mass, added.alone))
    before, after = scores.at_mass(who, rows, mass, alone)
    above, equal = standing.above.clone(), standing.equal.clone()
    readable = ~standing.scores.isnan()
    for column in range(tracks.shape[1]):
        target_score = standing.scores[who, column]
        rival = (rows != tracks[who, column]) & readable[who, column]
        rises = (~(after <= target_score)).long() - (~(before <= target_score)).long()
        meets = (after == target_score).long() - (before == target_score).long()
        above[:, column].index_add_(0, who, rises * rival)
        equal[:, column].index_add_(0, who, meets * rival)
    return Standing(standing.scores, above, equal, _with_changed(standing.best, who, rows, after, k))


def _with_changed(best: Ranking, who: Tensor, rows: Tensor, scores: Tensor, k: int) -> Ranking:
    """Return the `k` best of a ranking and of tracks `rows` with other scores, which replace their entries there."""
    num, depth = best.tracks.shape
    if depth == 0:
        return best
    session = torch.arange(num, device=who.device)[:, None].expand(num, depth)
    unchanged = ~torch.isneginf(best.scores)
    if len(who):
        size = int(max(best.tracks.max(), rows.max())) + 1
        key, wanted = who * size + rows, session * size + best.tracks
        index = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        unchanged &= key[index] != wanted  # these scores lack the mass
    among = (scores >= best.scores[who, -1]) & ~torch.isneginf(scores)  # False for NaN
    who = torch.cat([session[unchanged], who[among]])
    rows = torch.cat([best.tracks[unchanged], rows[among]])
    return ranked(who, rows, torch.cat([best.scores[unchanged], scores[among]]), num, k)
