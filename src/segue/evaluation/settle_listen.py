"""The weights of the terms of P(listen), fitted by maximum likelihood on validation targets of known feedback."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segue.evaluation.listening import HEAD_BATCH
from segue.evaluation.scene import Scene
from segue.evaluation.settle_transitions import FEWEST
from segue.evaluation.validation import sampled
from segue.model import Encoder
from segue.model.heads import ListenHead, ListenWeights

MOST_PLAYS: Final = 50_000
"""Most validation targets; each is one state and one row."""
_STEPS: Final = 60


@torch.no_grad()
def look_listen(scene: Scene, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Return the terms of the logit of validation targets, [N, 4] (the last is 1), and whether they were listened to.

    Without targets of unknown feedback and those that are not candidates; float64, on the CPU.
    """
    encoder.eval()
    head = encoder.heads["listen"]
    assert isinstance(head, ListenHead), "see build_model"
    cases = scene.contexts.cases
    judged = scene.listened(cases.target) | scene.skipped(cases.target)
    usable = np.flatnonzero(judged & np.isin(scene.contexts.target, scene.split.candidates))
    chosen = usable[sampled(np.asarray(scene.store.session_key[cases.session[usable]]), MOST_PLAYS, scene.config.seed)]
    contexts, rows = scene.part(cases, chosen), encoder.ranked_rows()
    batch_terms: list[Tensor] = []
    for index, batch in contexts.blocks(HEAD_BATCH):
        target = torch.from_numpy(contexts.target[index]).to(contexts.device)
        batch_terms.append(torch.stack(head.parts(encoder.next_state(batch), rows[target], target), 1).double().cpu())
    parts = torch.cat(batch_terms) if batch_terms else torch.zeros((0, 3), dtype=torch.float64)
    ones = torch.ones((len(parts), 1), dtype=torch.float64)
    return torch.cat([parts, ones], 1), torch.from_numpy(scene.listened(cases.target[chosen])).double()


def settle_listen(parts: Tensor, heard: Tensor) -> dict[str, Any]:
    """Return the maximum-likelihood `ListenWeights` as a document, with the mean log-loss before and after.

    With fewer than FEWEST targets the weights stay as trained.
    """
    begun = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    if len(heard) < FEWEST:
        return {**asdict(ListenWeights()), "targets": len(heard)}
    weights = begun.clone().requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        search.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(parts @ weights, heard)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(step)  # type: ignore[no-untyped-call]
    best = weights.detach()
    losses = [float(functional.binary_cross_entropy_with_logits(parts @ w, heard)) for w in (begun, best)]
    if not (losses[1] < losses[0] and bool(torch.isfinite(best).all())):
        best = begun
    made = ListenWeights(*best.tolist())
    return {**asdict(made), "targets": len(heard), "loss": min(losses), "loss_as_trained": losses[0]}
