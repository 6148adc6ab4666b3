"""The weights of the parts of P(listen), fitted by maximum likelihood on validation targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.listen_predictions import HEAD_BATCH
from segue.model import Encoder
from segue.model.heads import ListenHead, ListenWeights, repeats

FEWEST: Final = 30
"""Fewest validation targets to which weights are fitted."""
MOST_PLAYS: Final = 50_000
"""Most validation targets for P(listen); each is one state and one row."""
_LISTEN_STEPS: Final = 60


@torch.no_grad()
def listen_terms(scene: EvaluationScene, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Return the terms of the logit of validation targets, and whether they were listened to.

    Terms are in the order of `ListenWeights`: [N, 6] where what the listener played before is read, else [N, 4]; the
    fourth is 1. Without targets of unknown feedback and those that are not candidates; none of sets of targets, which
    say nothing of skips. float64, on the CPU.
    """
    encoder.eval()
    head = encoder.heads["listen"]
    assert isinstance(head, ListenHead), "see build_model"
    cases = scene.contexts.cases
    if cases.positives is not None:
        return torch.zeros((0, 4), dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    reads_own = repeats.NAME in scene.contexts.data.side
    judged = scene.listened(cases.target) | scene.skipped(cases.target)
    chosen = scene.sample(MOST_PLAYS, judged & np.isin(scene.contexts.target, scene.split.candidates))
    contexts, rows = scene.part(cases, chosen), encoder.ranked_rows()
    terms = torch.ones((len(chosen), 6 if reads_own else 4), dtype=torch.float64)
    for index, batch in contexts.blocks(HEAD_BATCH):
        target = torch.from_numpy(contexts.target[index]).to(contexts.device)
        terms[index, :3] = torch.stack(head.parts(encoder.next_state(batch), rows[target], target), 1).double().cpu()
        if reads_own:
            sessions = torch.arange(len(index), device=target.device)
            terms[index, 4:] = head.own_listens(batch).at(sessions, target).double().cpu()
    return terms, torch.from_numpy(scene.listened(cases.target[chosen])).double()


def settle_listen(terms: Tensor, listened: Tensor) -> dict[str, Any]:
    """Return the maximum-likelihood `ListenWeights` as a document, with the mean log-loss before and after.

    With fewer than FEWEST targets the weights stay as trained.
    """
    if len(listened) < FEWEST:
        return {**asdict(ListenWeights()), "targets": len(listened)}

    def loss_of(weights: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(terms @ weights, listened)

    trained = torch.tensor(astuple(ListenWeights()), dtype=torch.float64)[: terms.shape[1]]
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
