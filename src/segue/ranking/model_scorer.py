"""A trained encoder, with its heads, as a scorer."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.model import Encoder
from segue.model.heads import Head, ListenHead
from segue.ranking.block_standing import stand
from segue.ranking.candidate_table import CandidateTable
from segue.ranking.scores import ListenTerm, Mass, Scores
from segue.ranking.standing import Standing


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
        rows = torch.as_tensor(candidates.astype(np.int64), device=self._weight.device)
        self._candidates, self._only_mass = rows, None
        if encoder.untrained is not None:
            untrained = encoder.untrained[rows]
            self._candidates, self._only_mass = rows[~untrained], torch.zeros_like(encoder.untrained)
            self._only_mass[rows[untrained]] = True
        self._listen_weight = listen_weight
        heads = dict(encoder.heads.items())
        self._listen = heads.get("listen")
        self._heads = [head for head in heads.values() if isinstance(head, Head)]
        self._temperature = encoder.score_temperature

    @torch.no_grad()
    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session."""
        return self._scores_after(self.encoder.next_state(batch), batch).exact(candidates)

    @torch.no_grad()
    def stand(
        self, batch: Batch, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None
    ) -> Standing:
        """Return the standing of `tracks` among all candidates, the `k` best, and the scores of `scored`."""
        return stand(self._scores_after(self.encoder.next_state(batch), batch), tracks, k, scored)

    @torch.no_grad()
    def stand_after(self, state: Float[Tensor, "B D"], batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return the standing of `tracks` and the `k` best, given the next state of each session."""
        return stand(self._scores_after(state, batch), tracks, k)

    @torch.no_grad()
    def log_mass(self, state: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Return log of the sum of exp(score) over the candidates, of the encoder's scores alone."""
        total = state.new_full((len(state),), -torch.inf)
        for _, rows in self._table.blocks(self._table.block_width(len(state))):
            total = torch.logaddexp(total, (state * self._temperature @ rows.T).logsumexp(1))
        return total

    @torch.no_grad()
    def listen_logits(self, batch: Batch, tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the logit of P(listen) of each of `tracks` after its session; the model needs that head."""
        logits: Tensor = self._head.logits(self.encoder.next_state(batch), self._weight[tracks], tracks)
        own_listens = self._head.own_part(batch.recent(self.encoder.max_len))
        sessions = torch.arange(len(tracks), device=tracks.device)[:, None]
        return logits if own_listens is None else logits + own_listens.at(sessions, tracks)

    @property
    def ranks_by(self) -> tuple[object, ...]:
        """What the scores depend on: scorers of the same candidates that share it rank alike, whatever their names."""
        return type(self), self.encoder, self._listen_weight

    @property
    def predicts_listening(self) -> bool:
        """Whether the model has a head for P(listen)."""
        return self._listen is not None

    def _scores_after(self, state: Float[Tensor, "B D"], batch: Batch) -> Scores:
        recent = batch.recent(self.encoder.max_len)
        listen = self._listen_term(state, recent, self._listen_weight) if self._listen_weight > 0.0 else None
        added = [part for head in self._heads if (part := head.added(state, recent, self._weight)) is not None]
        mass = Mass.of(added, len(self._weight)) if added else None
        return Scores(self._table, state * self._temperature, listen, mass, self._only_mass)

    def _listen_term(self, state: Float[Tensor, "B D"], recent: Batch, weight: float) -> ListenTerm:
        return ListenTerm(self._head.query(state), self._offset, weight, self._head.own_part(recent))

    @property
    def _head(self) -> ListenHead:
        assert isinstance(self._listen, ListenHead), "P(listen) needs its head"
        return self._listen

    @cached_property
    def _table(self) -> CandidateTable:
        return CandidateTable(self._weight, self._candidates)

    @cached_property
    def _offset(self) -> Tensor:
        return self._head.offset(torch.arange(len(self._weight), device=self._weight.device)).detach()


class ListenScorer(ModelScorer):
    """The same model with P(listen) as its only score: it measures the head and is not a ranking to use.

    It has a score for every candidate: one without a training row has that of an unknown track.
    """

    def __init__(self, encoder: Encoder, candidates: NDArray[np.int32]) -> None:
        super().__init__(encoder, candidates, name="model, P(listen) alone")
        self._candidates = torch.as_tensor(candidates.astype(np.int64), device=self._weight.device)
        self._only_mass = None

    def _scores_after(self, state: Float[Tensor, "B D"], batch: Batch) -> Scores:
        recent = batch.recent(self.encoder.max_len)
        return Scores(self._table, torch.zeros_like(state), self._listen_term(state, recent, 1.0))


def model_scorers(encoder: Encoder, candidates: NDArray[np.int32], listen_weight: float) -> list[ModelScorer]:
    """Return the scorers of a model for evaluation, first the one that it ranks with.

    A model with a head for P(listen) also has one with lambda = 0. See `ListenScorer` for the head alone.
    """
    scorers = [ModelScorer(encoder, candidates, listen_weight)]
    if "listen" in encoder.heads:
        scorers.append(ModelScorer(encoder, candidates, name="model, lambda 0"))
    return scorers


def head_scorers(encoder: Encoder, candidates: NDArray[np.int32]) -> list[ModelScorer]:
    """Return the scorer of a model's head for P(listen) alone; empty without that head."""
    return [ListenScorer(encoder, candidates)] if "listen" in encoder.heads else []
