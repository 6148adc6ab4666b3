"""GRU4Rec: a gated recurrent unit reads the session track after track (Hidasi et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from segue.axes import Float
from segue.model.encoders.dropout import dropout
from segue.model.encoders.encoder import Parts
from segue.model.encoders.lookback import LookbackConfig, LookbackEncoder


@dataclass(frozen=True)
class Gru4RecConfig(LookbackConfig):
    """The paper's one layer, with as many units as a state is wide."""

    kind: ClassVar[str] = "gru4rec"


class Gru4RecEncoder(LookbackEncoder):
    """Track rows -> GRU -> y_hat (Hidasi, Karatzoglou, Baltrunas & Tikk 2016).

    With h_0 = 0 and x_i the row of track i,

        z = sigmoid(W_z x_i + U_z h),  r = sigmoid(W_r x_i + U_r h),
        h_i = (1 - z) h + z tanh(W x_i + r * (U h)).

    We differ: rows of the track table are read instead of one-hot tracks, and score the output too (the paper has a
    matrix for each); r multiplies U h, not h, and there are biases (the form that cuDNN computes); sampled softmax
    and Adam in place of TOP1 and Adagrad; sessions of a batch run side by side instead of one after another. Dropout
    falls on the states, as there.
    """

    def __init__(self, config: Gru4RecConfig, parts: Parts) -> None:
        super().__init__(config.width, parts)
        self.config = config
        self.layers = nn.ModuleList([nn.GRU(config.width, config.width, batch_first=True)])

    def encode(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""
        return dropout(self.layers[0](rows)[0], self.config.dropout, self.training)
