"""The mean of an encoder's weights over epochs: it varies less from epoch to epoch than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from segue.model import Encoder

_EPOCHS: Final = "epochs"


class WeightMean:
    """mean after epoch e = a_e * mean before + (1 - a_e) * weights, where a_e = min(a, (e - 1) / e), e from 1.

    So the first epochs count alike, whatever a is. One pass over the weights an epoch (a mean over steps would touch
    every row of the track table in every step). Source: Polyak & Juditsky 1992; Izmailov et al. 2018 average over
    epochs as well, all alike.

    Args:
        encoder: its weights are averaged.
        share: a; 0 = no mean.
    """

    def __init__(self, encoder: Encoder, share: float) -> None:
        self._encoder, self._share = encoder, share
        self._mean: dict[str, Tensor] = {}
        self._epochs = 0
        """Epochs in the mean."""

    @contextmanager
    def taken(self, epochs_before: int) -> Iterator[Encoder]:
        """Count the weights of the epoch after `epochs_before`, and yield the encoder with the mean as its weights.

        An epoch that was counted already is not counted twice. Afterwards the encoder has its own weights again.
        """
        if self._share == 0.0:
            yield self._encoder
            return
        weights = {name: value.detach() for name, value in self._encoder.named_parameters()}
        if self._epochs == epochs_before:
            self._count(weights)
        last_weights = {name: value.clone() for name, value in weights.items()}
        _put(self._mean, weights)
        try:
            yield self._encoder
        finally:
            _put(last_weights, weights)

    def state(self) -> dict[str, Tensor]:
        """Return the mean, by the names of the parameters, and how many epochs it has."""
        return {**self._mean, _EPOCHS: torch.tensor(self._epochs)} if self._share > 0.0 else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError: the state is that of another encoder.
        """
        if self._share > 0.0:
            self._epochs = int(state[_EPOCHS])
            device = self._encoder.table.weight.device
            names = [name for name, _ in self._encoder.named_parameters()] if self._epochs else []
            self._mean = {name: state[name].to(device, copy=True) for name in names}

    @torch.no_grad()
    def _count(self, weights: Mapping[str, Tensor]) -> None:
        if not self._mean:
            self._mean = {name: value.clone() for name, value in weights.items()}
        former = min(self._share, self._epochs / (self._epochs + 1))
        for name, value in weights.items():
            self._mean[name].lerp_(value, 1.0 - former)
        self._epochs += 1


@torch.no_grad()
def _put(values: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy values into weights, in place: captured graphs read their memory."""
    for name, value in values.items():
        weights[name].copy_(value)
