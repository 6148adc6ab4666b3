"""Scores of all candidates after the sessions of a batch: fast scores in blocks, and exact ones by cell.

A model's score of track t after a session is

    log( exp(y . E[t]) + sum of the mass that heads add to t ) + lambda log P(listen to t),

the log of an unnormalised next-track probability, plus log P(listen) if the model has that head and lambda > 0. Heads
add mass to few tracks: the successors of the last one, and those of the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from segue.axes import Bool, Float, Int
from segue.model.heads import Added, ListenQuery, OwnListens
from segue.ranking.candidate_table import CHUNK, ROUNDING, CandidateTable
from segue.ranking.dots import cell_dots, dots
from segue.ranking.standing import NOTHING, member


@dataclass(frozen=True)
class Mass:
    """What heads add to exp(score) of some tracks after B sessions, by session and then track, each once."""

    who: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    mass: Float[Tensor, " n"]
    """Its log, float64."""
    alone: Bool[Tensor, " n"]
    """Whether it stands in place of exp(score)."""
    most_alone: int
    """At most so many tracks of one session have it in place of exp(score)."""

    @classmethod
    def of(cls, parts: Sequence[Added], num_rows: int) -> Mass:
        """Return the sum of `parts`, whose tracks are below `num_rows`."""
        key = torch.cat([part.session * num_rows + part.tracks for part in parts])
        mass = torch.cat([part.log_mass for part in parts])
        key, group = torch.unique(key, return_inverse=True)
        most = mass.new_full(key.shape, NOTHING).scatter_reduce_(0, group, mass, "amax")
        finite = most.clamp(min=torch.finfo(most.dtype).min)
        total = mass.new_zeros(key.shape).index_add_(0, group, (mass - finite[group]).exp())
        in_place = torch.cat([mass.new_full(part.tracks.shape, bool(part.in_place)) for part in parts])
        alone = mass.new_zeros(key.shape).scatter_reduce_(0, group, in_place, "amax") > 0
        most_alone = sum(part.in_place for part in parts)
        return cls(key // num_rows, key % num_rows, finite + total.log(), alone, most_alone)

    def mass_of(self, tracks: Int[Tensor, "B K"], num_rows: int) -> tuple[Float[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """Return the mass of each of `tracks` (below `num_rows`) after its session, -inf for none, and `alone`."""
        if len(self.who) == 0:
            none = torch.full(tracks.shape, NOTHING, dtype=torch.float64, device=tracks.device)
            return none, torch.zeros_like(none, dtype=torch.bool)
        key = self.who * num_rows + self.rows
        wanted = torch.arange(len(tracks), device=tracks.device)[:, None] * num_rows + tracks
        index = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        has_mass = key[index] == wanted
        return self.mass[index].masked_fill(~has_mass, NOTHING), self.alone[index] & has_mass


@dataclass(frozen=True)
class ListenTerm:
    """lambda log P(listen) after B sessions; the logit of row r is direction . row + level + offset[r] + own[r]."""

    query: ListenQuery
    offset: Float[Tensor, " R"]
    weight: float
    """lambda > 0."""
    own: OwnListens | None = None
    """What the listener's plays of a track add; None = nothing."""

    def rest(self, who: Int[Tensor, "*shape"], rows: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the logits of cells (session, row) without the product."""
        logits = self.query.level[who] + self.offset[rows]
        return logits if self.own is None else logits + self.own.at(who, rows)


class Scores:
    """Scores after B sessions: products of states and table rows, with or without the terms of heads.

    Args:
        table: the tracks.
        state: y of each session.
        listen: the term of P(listen).
        mass: what heads add. Fast scores and `at` leave this out.
        only_mass: rows of candidates that are not in `table`, because they have no exp(y . E[t]), bool.
    """

    def __init__(
        self,
        table: CandidateTable,
        state: Float[Tensor, "B D"],
        listen: ListenTerm | None = None,
        mass: Mass | None = None,
        only_mass: Bool[Tensor, " R"] | None = None,
    ) -> None:
        self.table, self.mass, self.num, self.device = table, mass, len(state), state.device
        self.only_mass = only_mass
        self._state, self._listen = state, listen

    def is_candidate(self, tracks: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
        """Return which tracks may be ranked."""
        scanned = member(self.table.candidates, tracks)
        return scanned if self.only_mass is None else scanned | self.only_mass[tracks]

    @cached_property
    def num_only_mass(self) -> int:
        """Number of candidates without exp(y . E[t])."""
        return 0 if self.only_mass is None else int(self.only_mass.sum())

    def exact(self, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`, float32, mass included."""
        weight, logits = self.table.weight, None
        if self._listen is not None:
            session = torch.arange(self.num, device=tracks.device)[:, None].expand_as(tracks)
            logits = dots(weight, self._listen.query.direction, tracks) + self._listen.rest(session, tracks)
        mass, alone = (None, None) if self.mass is None else self.mass.mass_of(tracks, len(weight))
        scores = self._with_only_mass(dots(weight, self._state, tracks), tracks)
        return self._joined(scores, logits, mass, alone)

    def at(self, who: Int[Tensor, " n"], rows: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return the exact scores of cells (session, row) without mass, float32."""
        return self._joined(*self._products(who, rows), None, None)

    def at_mass(
        self,
        who: Int[Tensor, " n"],
        rows: Int[Tensor, " n"],
        mass: Float[Tensor, " n"],
        alone: Bool[Tensor, " n"],
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the exact scores of cells (session, row) without and with mass, float32.

        `mass`, `alone`: of each cell, as in `Mass`.
        """
        products = self._products(who, rows)
        return self._joined(*products, None, None), self._joined(*products, mass, alone)

    def _products(self, who: Int[Tensor, " n"], rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor | None]:
        """Return the encoder's score of cells (session, row), and their logit of P(listen)."""
        weight, logits = self.table.weight, None
        if self._listen is not None:
            logits = cell_dots(weight, self._listen.query.direction, who, rows) + self._listen.rest(who, rows)
        return self._with_only_mass(cell_dots(weight, self._state, who, rows), rows), logits

    def _with_only_mass(self, scores: Float[Tensor, "*shape"], rows: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the encoder's scores, -inf of candidates that have none."""
        return scores if self.only_mass is None else scores.masked_fill(self.only_mass[rows], NOTHING)

    def _joined(self, scores: Tensor, logits: Tensor | None, mass: Tensor | None, alone: Tensor | None) -> Tensor:
        if logits is None and mass is None:
            return scores
        wide = scores.double()
        if mass is not None and alone is not None:
            wide = torch.logaddexp(wide.masked_fill(alone, NOTHING), mass)
        if self._listen is not None and logits is not None:
            wide = wide + self._listen.weight * logsigmoid(logits.double())
        return wide.float()

    def slack(self) -> Float[Tensor, "B one"]:
        """Return the largest difference of a fast score and an exact one, with the error of comparing in float32.

        log P(listen) has a slope of at most 1, so that the bounds of both products add up.
        """
        slack = self.table.slack(self._state)
        if self._listen is None:
            return slack
        query = self._listen.query
        size = query.level.abs()[:, None] + self._listen.offset.abs().max()
        if self._listen.own is not None and len(self._listen.own.rows):
            size = size + self._listen.own.values.abs().max()
        size = size + self.table.longest * query.direction.norm(dim=1, keepdim=True)
        of_listen = self.table.slack(query.direction) + 16 * ROUNDING * (size + 1.0)
        both: Tensor = slack + self._listen.weight * of_listen
        return both

    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "B C W"]]]:
        """Yield the first index and the fast scores of each block in chunks, -inf after the last candidate.

        A block is valid until the next; all have the same shape.
        """
        width = self.table.block_width(self.num)
        scores = self._state.new_empty(self.num, width)
        for begin, rows in self.table.blocks(width):
            block = scores if len(rows) == width else scores.fill_(NOTHING)[:, : len(rows)]
            if self._listen is None:
                torch.mm(self._state, rows.T, out=block)
            else:
                query, offset = self._listen.query, self._listen.offset
                some = offset[self.table.candidates[begin : begin + len(rows)]]
                logits = torch.addmm(some, query.direction, rows.T).add_(query.level[:, None])
                self._add_own(logits, begin)
                log_listen = logsigmoid(logits)
                torch.addmm(log_listen, self._state, rows.T, beta=self._listen.weight, out=block)
            yield begin, scores.view(self.num, -1, CHUNK)

    def _add_own(self, logits: Float[Tensor, "B W"], begin: int) -> None:
        """Add what listeners' own plays say to the logits of a block whose first candidate is `begin`."""
        if self._own_cells is None:
            return
        who, column, values, on_host = self._own_cells
        low, high = (int(end) for end in torch.searchsorted(on_host, torch.tensor([begin, begin + logits.shape[1]])))
        logits[who[low:high], column[low:high] - begin] += values[low:high]

    @cached_property
    def _own_cells(self) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """Session, candidate index and value of the listeners' own plays by index; and the indices on the CPU."""
        own = None if self._listen is None else self._listen.own
        if own is None or len(self.table.candidates) == 0:
            return None
        column = torch.searchsorted(self.table.candidates, own.rows).clamp(max=len(self.table.candidates) - 1)
        inside = self.table.candidates[column] == own.rows
        column, order = column[inside].sort()
        return own.who[inside][order], column, own.values[inside][order], column.cpu()

    @property
    def readable(self) -> Bool[Tensor, "B one"]:
        """Which sessions have finite states."""
        finite = torch.isfinite(self._state).all(1)
        if self._listen is not None:
            query = self._listen.query
            finite &= torch.isfinite(query.direction).all(1) & torch.isfinite(query.level)
        return finite[:, None]
