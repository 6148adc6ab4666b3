"""Caser: horizontal and vertical convolutions over the most recent rows (Tang & Wang 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
from segue.model.encoders.dropout import dropout
from segue.model.encoders.encoder import Parts
from segue.model.encoders.lookback import LookbackConfig, LookbackEncoder

WINDOW: Final = 5
"""Most recent rows that a state is made of (the paper's L)."""
HORIZONTAL: Final = 16
"""Horizontal filters of each height 1..WINDOW."""
VERTICAL: Final = 4
"""Vertical filters. Window and filters are those of the paper's public settings."""


@dataclass(frozen=True)
class CaserConfig(LookbackConfig):
    """The shape of Caser."""

    kind: ClassVar[str] = "caser"


class CaserEncoder(LookbackEncoder):
    """The last WINDOW rows -> convolutions -> Linear + tanh = y_hat (Tang & Wang 2018).

    With E the WINDOW rows that end at a position, zeros before the session's first track, F a filter of height h and
    G a vertical one,

        o = max over i of relu(<E_i..i+h-1, F>),  o~ = sum over rows l of G_l E_l,  y_hat = tanh(W [o; o~] + b).

    Of the activations that the paper tries, relu follows the filters (as in its public settings) and tanh the last
    layer: from the small weights that all encoders start from, relu left a third to a half of the values of y_hat 0
    for every input, three epochs of 2,000 simulated sessions later as well (tanh: none, at the same HR@10).

    We differ: no user embedding stands beside y_hat, since sessions have no users; rows that are read score the output
    too; every position of a session is a target, where the paper draws windows; sampled softmax in place of binary
    cross-entropy. Dropout falls on [o; o~], as there.
    """

    def __init__(self, config: CaserConfig, parts: Parts) -> None:
        super().__init__(config.width, parts)
        self.config = config
        heights = range(1, WINDOW + 1)
        self.horizontal = nn.ModuleList(nn.Conv1d(config.width, HORIZONTAL, h, bias=False) for h in heights)
        self.vertical = nn.Linear(WINDOW, VERTICAL, bias=False)
        self.predict = nn.Linear(HORIZONTAL * WINDOW + VERTICAL * config.width, config.width)

    def encode(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""
        padded = functional.pad(rows.transpose(1, 2), (WINDOW - 1, 0))  # [B, D, WINDOW - 1 + L]
        pooled = [_pooled(layer(padded), height) for height, layer in enumerate(self.horizontal, start=1)]
        weighed = self.vertical(padded.unfold(2, WINDOW, 1))  # [B, D, L, VERTICAL]
        features = torch.cat([*pooled, weighed.permute(0, 2, 3, 1).flatten(2)], dim=2)
        return torch.tanh(self.predict(dropout(features, self.config.dropout, self.training)))


def _pooled(answers: Float[Tensor, "B F P"], height: int) -> Float[Tensor, "B L F"]:
    """Return the largest answer of each of F filters within each position's window.

    Windows overlap, so a filter is applied once at each place of the session, and the maximum slides over its answers.
    """
    return functional.max_pool1d(functional.relu(answers), WINDOW - height + 1, stride=1).transpose(1, 2)
