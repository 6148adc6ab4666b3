"""The weights of a model's heads in its ranking, fitted by maximum likelihood on validation targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from segue.batch import Batch
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.listen_predictions import HEAD_BATCH
from segue.evaluation.ranking_pass import FULL_BATCH, GPU_BATCH
from segue.model import Encoder
from segue.model.heads import Head, ListenHead, ListenWeights, MixtureWeights, TransitionsHead
from segue.objectives import Mixture
from segue.objectives.softmax import softmax_losses

TEMPERATURES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
FEWEST: Final = 30
"""Fewest validation targets to which weights are fitted."""
MOST_PLAYS: Final = 50_000
"""Most validation targets for P(listen); each is one state and one row."""
_TRANSITION_STEPS: Final = 40
_LISTEN_STEPS: Final = 60
_NOTHING: Final = -1e30


@dataclass(frozen=True)
class MixtureTerms:
    """Inputs of the likelihood of N validation targets under the mixture with transitions, float64."""

    target_score: Tensor
    """Score of the target, [N]."""
    others: Tensor
    """log of the sum over the other candidates of exp(T score), for each of TEMPERATURES, [N, T]."""
    gate: Tensor
    """h by order, [N, O]; at most -1e30 if the last tracks were never followed."""
    log_share: Tensor
    """log p(target) by order, [N, O]; at most -1e30 if it never followed."""
    log_followed: Tensor
    """log(1 + times that the last tracks were followed), [N, O]."""
    target_mass: Tensor
    """log of the mass that other heads add to the target, [N]; -inf where they add none."""
    other_mass: Tensor
    """log of the mass that they add to all other candidates, [N]."""

    def loss(self, number: int, offset: Tensor, slope: Tensor) -> Tensor:
        """Return the mean of -log of each target's share at temperature `TEMPERATURES[number]`, scalar."""
        gates = (self.gate + offset + slope * self.log_followed).clamp(min=_NOTHING)
        orders = [Mixture(gate, share) for gate, share in zip(gates.unbind(1), self.log_share.unbind(1), strict=True)]
        mixture = reduce(Mixture.beside, orders)
        target = torch.logaddexp(TEMPERATURES[number] * self.target_score, self.target_mass)
        return softmax_losses(target, torch.logaddexp(self.others[:, number], self.other_mass), mixture).mean()


@torch.no_grad()
def mixture_terms(scene: EvaluationScene, encoder: Encoder, most: int) -> MixtureTerms:
    """Return the inputs of the likelihood for a sample of `most` validation targets.

    Targets that are not candidates are left out.
    """
    encoder.eval()
    head = encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead), "see build_model"
    chosen = scene.sample(most)
    ranked = np.isin(scene.contexts.target[chosen], scene.split.candidates)
    contexts, rows = scene.part(scene.contexts.cases, chosen[ranked]), encoder.ranked_rows()
    candidates = torch.as_tensor(scene.split.candidates.astype(np.int64), device=contexts.device)
    table = rows[candidates]
    nothing = torch.zeros(0, device=contexts.device)
    widths = len(TEMPERATURES), *[head.orders] * 3
    wide = [nothing.view(0, 1).expand(0, width) for width in widths]
    parts: list[tuple[Tensor, ...]] = [(nothing, *wide, nothing, nothing)]
    for index, batch in contexts.blocks(max(1, (FULL_BATCH if contexts.device.type == "cpu" else GPU_BATCH) // 4)):
        state, target = encoder.next_state(batch), torch.from_numpy(contexts.target[index]).to(contexts.device)
        scores = state @ table.T
        target_score = (state * rows[target]).sum(1)
        scores.scatter_(1, torch.searchsorted(candidates, target)[:, None], float("-inf"))
        others = torch.stack([torch.logsumexp(scores * warm, 1) for warm in TEMPERATURES], 1)
        mass = _other_mass(encoder, batch, state, rows, target)
        parts.append((target_score, others, *head.parts(state, batch, target), *mass))
    return MixtureTerms(*(torch.cat(column).double().cpu() for column in zip(*parts, strict=True)))


def _other_mass(encoder: Encoder, batch: Batch, state: Tensor, rows: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log of the mass that heads besides transitions add to the targets and to all other tracks."""
    recent = batch.recent(encoder.max_len)
    heads = [head for name, head in encoder.heads.items() if name != "transitions"]
    of_target = state.new_full((len(state),), float("-inf"), dtype=torch.float64)
    of_others = of_target.clone()
    for head in heads:
        added = head.added(state, recent, rows) if isinstance(head, Head) else None
        if added is not None:
            is_target = added.tracks == target[added.session]
            for total, chosen in ((of_target, is_target), (of_others, ~is_target)):
                mass = torch.zeros_like(total).index_add_(0, added.session[chosen], added.log_mass[chosen].exp())
                torch.logaddexp(total, mass.log(), out=total)
    return of_target, of_others


def settle_transitions(terms: MixtureTerms) -> dict[str, Any]:
    """Return the maximum-likelihood `MixtureWeights` as a document, with the mean losses.

    With fewer than FEWEST targets the weights stay as trained.
    """
    num = len(terms.target_score)
    if num < FEWEST:
        return {**asdict(MixtureWeights()), "targets": num, "tried": []}
    as_trained = float(terms.loss(TEMPERATURES.index(1.0), torch.zeros(()), torch.zeros(())))
    best, least, tried = MixtureWeights(), as_trained, []
    for number, temperature in enumerate(TEMPERATURES):

        def loss_of(weights: Tensor, number: int = number) -> Tensor:
            return terms.loss(number, weights[0], weights[1])

        weights = _fitted(loss_of, torch.zeros(2, dtype=torch.float64), _TRANSITION_STEPS)
        loss = float(loss_of(weights))
        tried.append({"temperature": temperature, "loss": loss})
        if loss < least and bool(torch.isfinite(weights).all()):
            best, least = MixtureWeights(temperature, *weights.tolist()), loss
    return {**asdict(best), "targets": num, "loss": least, "loss_as_trained": as_trained, "tried": tried}


@torch.no_grad()
def listen_terms(scene: EvaluationScene, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Return the terms of the logit of validation targets, [N, 4] (the last is 1), and whether they were listened to.

    Without targets of unknown feedback and those that are not candidates; float64, on the CPU.
    """
    encoder.eval()
    head = encoder.heads["listen"]
    assert isinstance(head, ListenHead), "see build_model"
    cases = scene.contexts.cases
    judged = scene.listened(cases.target) | scene.skipped(cases.target)
    chosen = scene.sample(MOST_PLAYS, judged & np.isin(scene.contexts.target, scene.split.candidates))
    contexts, rows = scene.part(cases, chosen), encoder.ranked_rows()
    terms = torch.ones((len(chosen), 4), dtype=torch.float64)
    for index, batch in contexts.blocks(HEAD_BATCH):
        target = torch.from_numpy(contexts.target[index]).to(contexts.device)
        terms[index, :3] = torch.stack(head.parts(encoder.next_state(batch), rows[target], target), 1).double().cpu()
    return terms, torch.from_numpy(scene.listened(cases.target[chosen])).double()


def settle_listen(terms: Tensor, listened: Tensor) -> dict[str, Any]:
    """Return the maximum-likelihood `ListenWeights` as a document, with the mean log-loss before and after.

    With fewer than FEWEST targets the weights stay as trained.
    """
    if len(listened) < FEWEST:
        return {**asdict(ListenWeights()), "targets": len(listened)}

    def loss_of(weights: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(terms @ weights, listened)

    trained = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    weights = _fitted(loss_of, trained, _LISTEN_STEPS)
    as_trained, least = float(loss_of(trained)), float(loss_of(weights))
    if not (least < as_trained and bool(torch.isfinite(weights).all())):
        weights = trained
    document = {**asdict(ListenWeights(*weights.tolist())), "targets": len(listened)}
    return document | {"loss": min(as_trained, least), "loss_as_trained": as_trained}


def _fitted(loss_of: Callable[[Tensor], Tensor], begin: Tensor, steps: int) -> Tensor:
    """Return the weights with the least loss, by at most `steps` steps of L-BFGS from `begin`."""
    weights = begin.clone().requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        search.zero_grad()
        loss = loss_of(weights)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(step)  # type: ignore[no-untyped-call]
    return weights.detach()
