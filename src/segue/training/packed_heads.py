"""The heads in a packed step: their masses for the softmax, their losses, and the gradients of both."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from segue.batches.packed import Packing
from segue.encoders.encoder import Encoder
from segue.objectives.packed import Gradients, Known
from segue.recipes import Recipe
from segue.training.heads import Predicted, known_masses, listen_loss


class Beside:
    """What the heads add to one step. Their own parameters' gradients are left where an optimiser looks for them."""

    def __init__(self, encoder: Encoder, states: Tensor, packing: Packing, recipe: Recipe) -> None:
        """`states`: y_hat, float32 [T, D]."""
        self._encoder, self._recipe, self._place = encoder, recipe, packing.target_place
        self._states = states.detach().requires_grad_()
        last = packing.ids[: len(states)]
        self._predicted = Predicted(self._states, last, packing.target, packing.target_feedback)
        self._open: tuple[Tensor, Tensor] | None = None
        self.known: Known | None = None
        """What transitions add to the softmax, which writes the gradient in their gate."""

    def mix(self, target: Tensor) -> None:
        """Give the softmax of `target` [T] (0 = none) its masses, where there are transitions."""
        config = self._recipe.heads.transitions
        if config is None:
            return
        with torch.enable_grad():
            self._open = known_masses(self._encoder, replace(self._predicted, target=target), config)
        assert self._open is not None, "the encoder has the heads of its recipe"
        masses = [mass.detach() for mass in self._open]
        flow = float(config.gradient == "flow")
        self.known = Known(masses[0], masses[1], torch.zeros_like(masses[1]), flow, config.own)

    def backward(self, values: Tensor, into: Gradients, share: float) -> list[Tensor]:
        """Add the gradients of what the heads made; return the losses of those that have one.

        `values`: rows looked up; `share`: of the loss of P(listen).
        """
        roots, gradients, losses = list[Tensor](), list[Tensor | None](), list[Tensor]()
        if self._open is not None and self.known is not None:  # both masses are the gate plus what is constant
            roots.append(self._open[1])
            gradients.append(self.known.gradient)
        rows = values.detach()
        if self._recipe.heads.listen is not None:
            rows = rows.index_select(0, self._place).requires_grad_()
            with torch.enable_grad():
                loss = listen_loss(self._encoder, self._predicted, rows, self._recipe.data.skip_at_least)
            losses.append(loss.detach())
            roots.append(loss * share)
            gradients.append(None)
        if roots:
            torch.autograd.backward(roots, gradients)
        if self._states.grad is not None:
            into.states.add_(self._states.grad)
        if rows.grad is not None:
            into.rows.index_add_(0, self._place, rows.grad)  # no target: gradient 0
        return losses
