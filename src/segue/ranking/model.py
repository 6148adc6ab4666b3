"""A trained encoder, with its heads, as a scorer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.model import Encoder
from segue.model.heads import ListenHead, TransitionsHead
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.following import Following, mixed_standing
from segue.ranking.scan import stand
from segue.ranking.scores import DotScores, ListenScores, Scores
from segue.ranking.standing import Standing


@dataclass(frozen=True)
class _After:
    """Scores of a model after the sessions of a batch."""

    scores: Scores
    following: Following | None
    """None without transitions."""

    def definite(self, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the scores of `tracks`."""
        return self.scores.definite(tracks, None if self.following is None else self.following.among(tracks))


class ModelScorer:
    """Scores by dot products of the encoder's next state with rows of its track table, plus the terms of its heads.

    See `segue.ranking.scores`. The encoder must not change while the scorer is in use.
    """

    def __init__(
        self, encoder: Encoder, candidates: NDArray[np.int32], listen_weight: float = 0.0, name: str = "model"
    ) -> None:
        """`listen_weight`: lambda, the weight of log P(listen) beside log p(next); 0 without that head."""
        self.name = name
        self.encoder = encoder.eval()
        self.reads_feedback = encoder.reads_feedback
        self._weight = encoder.ranked_rows()
        self._candidates = torch.as_tensor(candidates.astype(np.int64), device=self._weight.device)
        self._listen_weight = listen_weight

    @torch.no_grad()
    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session."""
        return self._after(batch).definite(candidates)

    @torch.no_grad()
    def score_all(self, batch: Batch) -> Float[Tensor, "B R"]:
        """Return scores of all table rows, -inf at rows that are not candidates."""
        after = self._after(batch)
        scores = after.scores.every()
        if after.following is not None:
            who, rows = after.following.who, after.following.rows
            scores[who, rows] = after.scores.at(who, rows, after.following.mass)[1]
        refused = torch.ones(len(self._weight), dtype=torch.bool, device=self._weight.device)
        refused[self._candidates] = False
        return scores.masked_fill_(refused, float("-inf"))

    @torch.no_grad()
    def stand(self, batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return the standing of `tracks` among all candidates, and the `k` best."""
        after = self._after(batch)
        standing = stand(after.scores, tracks, k, after.definite(tracks))
        if after.following is None:
            return standing
        return mixed_standing(after.scores, standing, tracks, after.following)

    @torch.no_grad()
    def listen_logits(self, batch: Batch, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the logit of P(listen) of each of `tracks` after its session; the model must `foretells`."""
        assert self._listen is not None, "see foretells"
        logits: Tensor = self._listen.logits(self.encoder.next_state(batch), self._weight[tracks], tracks)
        return logits

    @property
    def foretells(self) -> bool:
        """Whether it has a head for P(listen)."""
        return self._listen is not None

    def _after(self, batch: Batch) -> _After:
        state, head = self.encoder.next_state(batch), dict(self.encoder.heads.items()).get("transitions")
        assert head is None or isinstance(head, TransitionsHead), "see build_model"
        sharp = state if head is None else state * head.ranking_weights.temperature
        scores: Scores = DotScores(self._table, sharp)
        if self._listen_weight > 0.0:
            assert self._listen is not None, "only a head weighs anything"
            scores = ListenScores(self._table, sharp, self._listen.query(state), self._offset, self._listen_weight)
        if head is None:
            return _After(scores, None)
        return _After(scores, Following.of(head, state, batch.tracks[batch.last]))

    @property
    def _listen(self) -> ListenHead | None:
        head = dict(self.encoder.heads.items()).get("listen")
        assert head is None or isinstance(head, ListenHead), "see build_model"
        return head

    @cached_property
    def _table(self) -> CandidateTable:
        return CandidateTable(self._weight, self._candidates)

    @cached_property
    def _offset(self) -> Tensor:
        assert self._listen is not None, "only a head has offsets"
        every = torch.arange(len(self._weight), device=self._weight.device)
        return self._listen.offset(every).detach()


class ListenScorer(ModelScorer):
    """The same model with P(listen) as its only score: it measures the head and is not a ranking to use."""

    def __init__(self, encoder: Encoder, candidates: NDArray[np.int32]) -> None:
        super().__init__(encoder, candidates, 1.0, "model, P(listen) alone")

    def _after(self, batch: Batch) -> _After:
        assert self._listen is not None, "made only for a model with that head"
        state = self.encoder.next_state(batch)
        query = self._listen.query(state)
        return _After(ListenScores(self._table, torch.zeros_like(state), query, self._offset, 1.0), None)


def model_scorers(encoder: Encoder, candidates: NDArray[np.int32], listen_weight: float) -> list[ModelScorer]:
    """Return the scorers of a model for evaluation, first the one that it ranks with.

    A model with a head for P(listen) also has one with lambda = 0. See `ListenScorer` for the head alone.
    """
    ranks = ModelScorer(encoder, candidates, listen_weight)
    if not ranks.foretells:
        return [ranks]
    return [ranks, ModelScorer(encoder, candidates, 0.0, "model, lambda 0")]


def head_scorers(encoder: Encoder, candidates: NDArray[np.int32]) -> list[ModelScorer]:
    """Return the scorer of a model's head for P(listen) alone; empty without that head."""
    return [ListenScorer(encoder, candidates)] if "listen" in encoder.heads else []
