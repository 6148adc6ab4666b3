"""Where tracks stand among all rows of a track table, scored in blocks: [B, V] scores are never held.

A float32 matrix product scores a block; its scores lie within `slack` of the definite ones (`dots`), by the standard
bound of a float32 dot product of D terms, D u |x| |y| with u = 2**-24, in whatever order it is summed (Higham 2002,
section 3.1). So a track further than `slack` from the asked one is counted by its fast score, and one within it (some
hundred of a million) by its definite score: ranks and lists are exact, ties included.

Counting costs few passes over a block: comparisons write 0.0 or 1.0, sums run over chunks of CHUNK columns, and only
chunks that hold an undecided track, or one that may be among the best, are kept to be looked at by cell.

A bfloat16 product in its place was tried (EPYC with AVX512-BF16, 2 threads, a million tracks): its slack is a thousand
times as wide. Where targets rank about 100th or 1,350th it ranked 1,090 or 880 sessions/s against 490, but 290 against
460 at rank 23,000, and 100 against 470 at 160,000. Models rank many a held-out track so low, so it stays float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.ranking.candidate_table import CHUNK, ROUNDING
from segue.ranking.device import kernels
from segue.ranking.scores import Scores
from segue.ranking.standing import NOTHING, Ranking, Standing, member, ranked

CELLS: Final = 2**16
"""Cells scored definitely at a time."""
PENDING: Final = 2**16
"""Chunks that wait to be looked at, at most: 32 MB of scores."""


@torch.no_grad()
def stand(scores: Scores, tracks: Int[Tensor, "B T"], k: int, own: Float[Tensor, "B T"] | None = None) -> Standing:
    """Return the standing of `tracks` after the sessions of `scores`, and the `k` best candidates.

    `own`: the scores of `tracks` where they are others than those of `scores`; their rivals keep these.
    """
    table, own = scores.table, scores.definite(tracks) if own is None else own
    close, best = _Close(scores, tracks, own), _Best(scores, k)
    faster = kernels(scores.device)
    counted = _PlainCount() if faster is None else faster.count
    pending: list[tuple[Tensor, Tensor, Tensor]] = []
    num_pending, due = 0, 1
    for number, (begin, chunks) in enumerate(scores.blocks(), 1):
        undecided, most = counted(chunks, close.low, close.high, close.above)
        session, chunk = torch.nonzero(best.promising(most) | undecided, as_tuple=True)
        pending.append((session, begin + chunk * CHUNK, chunks[session, chunk]))
        num_pending += len(session)
        if number == due or num_pending > PENDING:
            _look(close, best, pending)
            # so often, the floor of the best rises before twice as many tracks are held against it
            num_pending, due = 0, max(due, 2 * number)
    _look(close, best, pending)
    itself = member(table.candidates, tracks)
    lost = own.isnan()  # ranks behind every rival
    above = torch.where(lost, len(table.candidates) - itself.long(), close.above)
    return Standing(own, above, torch.where(lost, 0, close.equal), best.ranking())


def _look(close: _Close, best: _Best, pending: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Look at the cells of the chunks that wait: session, place of the first candidate, fast scores."""
    best.raise_floor()
    if pending:
        session, first, cells = (torch.cat(parts) for parts in zip(*pending, strict=True))
        best.note(session, first, cells)
        close.count(session, first, cells)
    pending.clear()


class _PlainCount:
    """`plain_count`, block after block in one piece of memory."""

    def __init__(self) -> None:
        self._flags = torch.empty(0)

    def __call__(self, chunks: Tensor, low: Tensor, high: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        if self._flags.shape != chunks.shape:
            self._flags = torch.empty_like(chunks)
        return plain_count(chunks, low, high, above, self._flags)


def plain_count(
    chunks: Float[Tensor, "B C W"],
    low: Float[Tensor, "B T"],
    high: Float[Tensor, "B T"],
    above: Int[Tensor, "B T"],
    flags: Float[Tensor, "B C W"] | None = None,
) -> tuple[Bool[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Add to `above` how many scores of a block are not <= `high`.

    Returns which chunks hold one that is neither above nor < `low`, and the largest score of each, NaN where one is.
    `flags`: memory to use.
    """
    looked = torch.zeros(chunks.shape[:2], dtype=torch.bool, device=chunks.device)
    flags = torch.empty_like(chunks) if flags is None else flags
    for place in range(low.shape[1]):
        own = slice(place, place + 1)
        not_above = torch.le(chunks, high[:, own, None], out=flags).sum(2)
        below = torch.lt(chunks, low[:, own, None], out=flags).sum(2)
        num = chunks.shape[1] * chunks.shape[2] - not_above.sum(1, dtype=torch.float64)
        above[:, place] += num.long()
        looked |= not_above > below
    return looked, chunks.amax(2)


class _Close:
    """Rivals above and equal to asked tracks."""

    def __init__(self, scores: Scores, tracks: Tensor, own: Tensor) -> None:
        self.scores, self.tracks, self.own = scores, tracks, own
        around = scores.slack() + 4 * ROUNDING * own.abs()
        self.low, self.high = own - around, own + around
        self.above, self.equal = torch.zeros_like(tracks), torch.zeros_like(tracks)

    def count(self, session: Int[Tensor, " n"], first: Int[Tensor, " n"], cells: Float[Tensor, "n W"]) -> None:
        """Count the undecided tracks of chunks by their definite scores."""
        for place in range(self.tracks.shape[1]):
            low, high = self.low[session, place, None], self.high[session, place, None]
            chunk, column = torch.nonzero((cells <= high) & ~(cells < low), as_tuple=True)
            for who, row, other in _definite(self.scores, session[chunk], first[chunk] + column):
                own, rival = self.own[who, place], row != self.tracks[who, place]
                self.above[:, place].index_add_(0, who, (rival & ~(other <= own)).long())
                self.equal[:, place].index_add_(0, who, (rival & (other == own)).long())


class _Best:
    """The k best candidates of each session."""

    def __init__(self, scores: Scores, k: int) -> None:
        self.scores, self.k = scores, k
        self._slack = 2 * scores.slack()
        self._readable = scores.readable
        self._tops = torch.full((scores.num, k), NOTHING, device=scores.device)
        """The k largest chunk maxima so far: at least k tracks have fast scores as large as the last of them."""
        self._maxima: list[Tensor] = []
        self._floor = torch.full_like(self._slack, NOTHING if k else torch.inf)
        """Fast score below which no track can be among the k best."""
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def promising(self, most: Float[Tensor, "B C"]) -> Bool[Tensor, "B C"]:
        """Return the chunks that may hold one of the best, by the largest score of each."""
        if self.scores.table.finite:
            looked: Tensor = most >= self._floor
        else:  # a NaN hides the largest of its chunk
            torn = most.isnan()
            looked = (most >= self._floor) | (torn & self._readable)
            most = most.masked_fill(torn, NOTHING)
        self._maxima.append(most)
        return looked

    def raise_floor(self) -> None:
        """Take the chunk maxima since the last call into account."""
        if self.k == 0 or not self._maxima:
            return
        self._tops = torch.cat([self._tops, *self._maxima], 1).topk(self.k, dim=1).values
        self._maxima = []
        last = self._tops[:, -1:]
        self._floor = last - self._slack - 4 * ROUNDING * last.abs().nan_to_num(posinf=0.0)

    def note(self, session: Int[Tensor, " n"], first: Int[Tensor, " n"], cells: Float[Tensor, "n W"]) -> None:
        """Keep the tracks of chunks that may be among the best: session, place, fast score."""
        chunk, column = torch.nonzero(cells >= self._floor[session], as_tuple=True)
        self._found.append((session[chunk], first[chunk] + column, cells[chunk, column]))

    def ranking(self) -> Ranking:
        """Return the k best by definite score, equal ones by lower row."""
        who, place, fast = (torch.cat(parts) for parts in zip(*self._found, strict=True))
        kept = fast >= self._floor[who, 0]
        found = _definite(self.scores, who[kept], place[kept])
        who, rows, scores = (torch.cat(part) for part in zip(*found, strict=True))
        real = ~scores.isnan()
        return ranked(who[real], rows[real], scores[real], self.scores.num, self.k)


def _definite(
    scores: Scores, who: Int[Tensor, " n"], place: Int[Tensor, " n"]
) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, " m"], Float[Tensor, " m"]]]:
    """Yield sessions, table rows and definite scores of cells by their places; padding is left out."""
    inside = place < len(scores.table.candidates)
    who, rows = who[inside], scores.table.candidates[place[inside]]
    for some, row in zip(torch.split(who, CELLS), torch.split(rows, CELLS), strict=True):
        yield some, row, scores.at(some, row)[0]
