"""Scores of all candidates after the sessions of a batch: fast scores in blocks, and definite ones by cell.

A model's score of track t after a session is

    log( exp(y . E[t]) + exp(h) p(t | last) ) + lambda log P(listen to t),

the log of an unnormalised next-track probability, with transitions if the model has them, plus log P(listen) if it has
that head and lambda > 0. Transitions change the scores of few tracks: see `segue.ranking.following`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.model.heads import ListenQuery
from segue.ranking.candidate_table import CHUNK, CPU_CELLS, GPU_CELLS, ROUNDING, CandidateTable
from segue.ranking.dots import all_dots, dots
from segue.ranking.standing import NOTHING

CELLS: Final = 2**18
"""Cells whose rows are gathered at a time."""
DENSE: Final = 32
"""Products in a whole block that cost as much as one of a gathered row."""
MOST_DENSE: Final = 2**25
"""Most scores of a whole block in memory."""


class Scores(ABC):
    """Scores after B sessions; transitions count only as `mass`."""

    def __init__(self, table: CandidateTable, num: int, device: torch.device) -> None:
        self.table, self.num, self.device = table, num, device

    @abstractmethod
    def definite(self, tracks: Int[Tensor, "B K"], mass: Tensor | None = None) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`, float32.

        `mass` [B, K], float64: h + log p of each under transitions, -inf without any.
        """

    @abstractmethod
    def at(
        self, who: Int[Tensor, " n"], rows: Int[Tensor, " n"], mass: Tensor | None = None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the scores of cells (session, row) without and with `mass`, as in `definite`."""

    @abstractmethod
    def every(self) -> Float[Tensor, "B R"]:
        """Return the score of every table row, float32."""

    @abstractmethod
    def slack(self) -> Float[Tensor, "B one"]:
        """Return the largest difference of a fast score and a definite one, with the error of comparing in float32."""

    @abstractmethod
    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "B C W"]]]:
        """Yield the first index and the fast scores of each block in chunks, -inf after the last candidate."""

    @property
    @abstractmethod
    def readable(self) -> Bool[Tensor, "B one"]:
        """Which sessions have finite states."""


class DotScores(Scores):
    """Dot products of a state and rows of the track table."""

    def __init__(self, table: CandidateTable, state: Float[Tensor, "B D"]) -> None:
        super().__init__(table, len(state), state.device)
        self._state = state

    def definite(self, tracks: Int[Tensor, "B K"], mass: Tensor | None = None) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`, float32."""
        return with_mass(dots(self.table.weight, self._state, tracks), mass)

    def at(
        self, who: Int[Tensor, " n"], rows: Int[Tensor, " n"], mass: Tensor | None = None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the scores of cells without `mass` and with it."""
        scores = cells(self.table.weight, self._state, who, rows)
        return scores, with_mass(scores, mass)

    def every(self) -> Float[Tensor, "B R"]:
        """Return the score of every table row, float32."""
        return all_dots(self.table.weight, self._state)

    def slack(self) -> Float[Tensor, "B one"]:
        """Return the bound of a float32 dot product."""
        return self.table.slack(self._state)

    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "B C W"]]]:
        """Yield the first index and the fast scores of each block in chunks."""
        return self.table.scored(self._state)

    @property
    def readable(self) -> Bool[Tensor, "B one"]:
        """Which sessions have finite states."""
        return torch.isfinite(self._state).all(1, keepdim=True)


class ListenScores(Scores):
    """Dot products plus lambda log P(listen)."""

    def __init__(
        self,
        table: CandidateTable,
        state: Float[Tensor, "B D"],
        query: ListenQuery,
        offset: Float[Tensor, " R"],
        weight: float,
    ) -> None:
        """`offset`: of each table row in the logit; `weight`: lambda > 0."""
        super().__init__(table, len(state), state.device)
        self._state, self._query, self._offset, self._weight = state, query, offset, weight

    def definite(self, tracks: Int[Tensor, "B K"], mass: Tensor | None = None) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`, float32."""
        scores = dots(self.table.weight, self._state, tracks)
        along = dots(self.table.weight, self._query.direction, tracks)
        return self._joined(scores, along + (self._query.level[:, None] + self._offset[tracks]), mass)

    def at(
        self, who: Int[Tensor, " n"], rows: Int[Tensor, " n"], mass: Tensor | None = None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the scores of cells without `mass` and with it."""
        scores = cells(self.table.weight, self._state, who, rows)
        along = cells(self.table.weight, self._query.direction, who, rows)
        logits = along + (self._query.level[who] + self._offset[rows])
        without = self._joined(scores, logits, None)
        return without, without if mass is None else self._joined(scores, logits, mass)

    def every(self) -> Float[Tensor, "B R"]:
        """Return the score of every table row, float32."""
        scores = all_dots(self.table.weight, self._state)
        along = all_dots(self.table.weight, self._query.direction)
        return self._joined(scores, along + (self._query.level[:, None] + self._offset), None)

    def slack(self) -> Float[Tensor, "B one"]:
        """Return the bounds of both dot products together; log P has a slope of at most 1."""
        size = self._query.level.abs()[:, None] + self._offset.abs().max()
        size = size + self.table.longest * self._query.direction.norm(dim=1, keepdim=True)
        of_listen = self.table.slack(self._query.direction) + 16 * ROUNDING * (size + 1.0)
        both: Tensor = self.table.slack(self._state) + self._weight * of_listen
        return both

    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "B C W"]]]:
        """Yield the first index and the fast scores of each block in chunks."""
        cells = CPU_CELLS if self.device.type == "cpu" else GPU_CELLS
        count = len(self.table.candidates)
        width = min(max(cells // max(self.num, 1), CHUNK), count + CHUNK - 1) // CHUNK * CHUNK
        for begin, rows in self.table.blocks(width):
            some = self.table.candidates[begin : begin + len(rows)]
            scores = torch.full((self.num, width), NOTHING, device=self.device)
            logits = torch.addmm(self._offset[some], self._query.direction, rows.T).add_(self._query.level[:, None])
            scores[:, : len(rows)] = torch.addmm(functional.logsigmoid(logits), self._state, rows.T, beta=self._weight)
            yield begin, scores.view(self.num, -1, CHUNK)

    @property
    def readable(self) -> Bool[Tensor, "B one"]:
        """Which sessions have finite states."""
        joined = torch.cat([self._state, self._query.direction, self._query.level[:, None]], 1)
        return torch.isfinite(joined).all(1, keepdim=True)

    def _joined(self, scores: Tensor, logits: Tensor, mass: Tensor | None) -> Tensor:
        wide = scores.double() if mass is None else torch.logaddexp(scores.double(), mass)
        joined: Tensor = (wide + self._weight * functional.logsigmoid(logits.double())).float()
        return joined


def cells(
    weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"], who: Int[Tensor, " n"], rows: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the definite dot product of each cell, float32; by whole blocks if there are many cells among few rows."""
    every = len(state) * len(weight)
    if every <= min(DENSE * len(who), MOST_DENSE):
        whole: Tensor = all_dots(weight, state)
        return whole[who, rows]
    pairs = zip(torch.split(who, CELLS), torch.split(rows, CELLS), strict=True)
    parts = [dots(weight, state[some], row[:, None])[:, 0] for some, row in pairs]
    return torch.cat(parts) if parts else weight.new_zeros(0)


def with_mass(scores: Tensor, mass: Tensor | None) -> Tensor:
    """Return log(exp(scores) + exp(mass)), float32, computed in float64; `scores` without `mass`."""
    if mass is None:
        return scores
    joined: Tensor = torch.logaddexp(scores.double(), mass).float()
    return joined
