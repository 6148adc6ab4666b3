"""Caser: horizontal and vertical convolutions over the most recent rows (Tang & Wang 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
from segue.model.encoders.dropout import dropout
from segue.model.encoders.encoder import Parts
from segue.model.encoders.lookback import LookbackConfig, LookbackEncoder


@dataclass(frozen=True)
class CaserConfig(LookbackConfig):
    """The shape of Caser; window and filters are those of the paper's public settings."""

    kind: ClassVar[str] = "caser"

    window: int = 5
    """Most recent rows that a state is made of (the paper's L). What no training session is long enough to fill is
    never trained, but used at longer ones."""
    horizontal: int = 16
    """Horizontal filters of each height 1..window."""
    vertical: int = 4
    """Vertical filters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.window, self.horizontal, self.vertical) < 1:
            raise ValueError("window, horizontal and vertical must be at least 1")


class CaserEncoder(LookbackEncoder):
    """The last `window` rows -> convolutions -> Linear + tanh = y_hat (Tang & Wang 2018).

    With E the `window` rows that end at a position, zeros before the session's first track, F a filter of height h and
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
        heights = range(1, config.window + 1)
        self.horizontal = nn.ModuleList(nn.Conv1d(config.width, config.horizontal, h, bias=False) for h in heights)
        self.vertical = nn.Linear(config.window, config.vertical, bias=False)
        features = config.horizontal * config.window + config.vertical * config.width
        self.predict = nn.Linear(features, config.width)

    def padded_states(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""
        padded = functional.pad(rows.transpose(1, 2), (self.config.window - 1, 0))  # [B, D, window - 1 + L]
        pooled = [self._pooled(layer(padded), height) for height, layer in enumerate(self.horizontal, start=1)]
        weighed = self.vertical(padded.unfold(2, self.config.window, 1))  # [B, D, L, vertical]
        features = torch.cat([*pooled, weighed.permute(0, 2, 3, 1).flatten(2)], dim=2)
        return torch.tanh(self.predict(dropout(features, self.config.dropout, self.training)))

    def _pooled(self, answers: Float[Tensor, "B F P"], height: int) -> Float[Tensor, "B L F"]:
        """Return the largest answer of each of F filters within each position's window.

        Windows overlap: a filter is laid once on each place of the session, and the maximum slides over its answers.
        """
        largest = functional.max_pool1d(functional.relu(answers), self.config.window - height + 1, stride=1)
        return largest.transpose(1, 2)
