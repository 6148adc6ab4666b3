"""The weight of transitions against the encoder, fitted by maximum likelihood on validation targets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segue.evaluation.ranking_pass import FULL_BATCH, GPU_BATCH
from segue.evaluation.scene import Scene
from segue.evaluation.validation import sampled
from segue.model import Encoder
from segue.model.heads import MixtureWeights, TransitionsHead
from segue.objectives import Mixture
from segue.objectives.softmax import softmax_losses

TEMPERATURES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
FEWEST: Final = 30
"""Fewest validation targets to which weights are fitted."""
_STEPS: Final = 40
_NOTHING: Final = -1e30


@dataclass(frozen=True)
class Seen:
    """Inputs of the likelihood of N validation targets, float64."""

    target_score: Tensor
    """Score of the target, [N]."""
    others: Tensor
    """log of the sum over the other candidates of exp(T score), for each of TEMPERATURES, [N, T]."""
    gate: Tensor
    """h, [N]; at most -1e30 if the last track has no successors."""
    log_share: Tensor
    """log p(target | last), [N]; at most -1e30 if it never followed."""
    log_followed: Tensor
    """log(1 + number of successors of the last track), [N]."""

    def losses(self, number: int, offset: Tensor, slope: Tensor) -> Tensor:
        """Return -log of each target's share at temperature `TEMPERATURES[number]`, [N]."""
        whole = self.gate + offset + slope * self.log_followed
        mixture = Mixture(whole.clamp(min=_NOTHING), self.log_share)
        return softmax_losses(TEMPERATURES[number] * self.target_score, self.others[:, number], mixture)


@torch.no_grad()
def look(scene: Scene, encoder: Encoder, most: int) -> Seen:
    """Return the inputs of the likelihood for a sample of `most` validation targets.

    Targets that are not candidates are left out.
    """
    encoder.eval()
    head = encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead), "see build_model"
    cases = scene.contexts.cases
    chosen = sampled(np.asarray(scene.store.session_key[cases.session]), most, scene.config.seed)
    ranked = np.isin(scene.contexts.target[chosen], scene.split.candidates)
    contexts = scene.part(cases, chosen[ranked])
    rows = encoder.ranked_rows()
    candidates = torch.as_tensor(scene.split.candidates.astype(np.int64), device=contexts.device)
    table = rows[candidates]
    nothing = torch.zeros(0, device=contexts.device)
    parts: list[tuple[Tensor, ...]] = [(nothing, nothing.view(0, 1).expand(0, len(TEMPERATURES)), *[nothing] * 3)]
    for index, batch in contexts.blocks(max(1, (FULL_BATCH if contexts.device.type == "cpu" else GPU_BATCH) // 4)):
        state, target = encoder.next_state(batch), torch.from_numpy(contexts.target[index]).to(contexts.device)
        last = batch.tracks[batch.last]
        scores = state @ table.T
        target_score = (state * rows[target]).sum(1)
        scores.scatter_(1, torch.searchsorted(candidates, target)[:, None], float("-inf"))
        others = torch.stack([torch.logsumexp(scores * warm, 1) for warm in TEMPERATURES], 1)
        followed = head.followed[last]
        gate = torch.where(followed > 0, head.gate_logits(state, followed), _NOTHING)
        share = head.share(last, target)
        log_share = torch.where(share > 0, torch.log(share.clamp(min=1e-300)), _NOTHING)
        parts.append((target_score, others, gate, log_share, torch.log1p(followed.double())))
    return Seen(*(torch.cat(column).double().cpu() for column in zip(*parts, strict=True)))


def settle(seen: Seen) -> dict[str, Any]:
    """Return the maximum-likelihood `MixtureWeights` as a document, with the mean losses.

    With fewer than FEWEST targets the weights stay as trained.
    """
    if len(seen.target_score) < FEWEST:
        return {**asdict(MixtureWeights()), "targets": len(seen.target_score), "tried": []}
    as_trained = seen.losses(TEMPERATURES.index(1.0), torch.zeros(()), torch.zeros(())).mean()
    best, least, tried = MixtureWeights(), float(as_trained), []
    for number, temperature in enumerate(TEMPERATURES):
        moved = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([moved], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def step(number: int = number, moved: Tensor = moved, search: torch.optim.LBFGS = search) -> Tensor:
            search.zero_grad()
            loss = seen.losses(number, moved[0], moved[1]).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        search.step(step)  # type: ignore[no-untyped-call]
        offset, slope = moved.detach()
        loss = float(seen.losses(number, offset, slope).mean())
        tried.append({"temperature": temperature, "loss": loss})
        if loss < least and bool(torch.isfinite(moved).all()):
            best, least = MixtureWeights(temperature, float(offset), float(slope)), loss
    return {
        **asdict(best),
        "targets": len(seen.target_score),
        "loss": least,
        "loss_as_trained": float(as_trained),
        "tried": tried,
    }
