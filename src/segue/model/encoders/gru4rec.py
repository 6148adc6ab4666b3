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
    """The shape of GRU4Rec: the paper's one layer; of its 100 to 1000 units as many as a state is wide."""

    kind: ClassVar[str] = "gru4rec"

    hidden: int = 128
    """H, units of a layer; where it is not `width`, a linear layer leads from the one to the other."""
    layers: int = 1
    """Layers of units, one reading the states of the other (the paper: one was best)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.layers) < 1:
            raise ValueError("hidden and layers must be at least 1")


class Gru4RecEncoder(LookbackEncoder):
    """Track rows -> GRU -> y_hat (Hidasi, Karatzoglou, Baltrunas & Tikk 2016).

    With h_0 = 0 and x_i the row of track i,

        z = sigmoid(W_z x_i + U_z h),  r = sigmoid(W_r x_i + U_r h),
        h_i = (1 - z) h + z tanh(W x_i + r * (U h)).

    We differ: rows of the track table are read instead of one-hot tracks, and score the output too (the paper has a
    matrix for each); r multiplies U h, not h, and there are biases (the form that cuDNN computes); sampled softmax
    and Adam in place of TOP1 and Adagrad; sessions of a batch run side by side instead of one after another. Dropout
    falls on the states of each layer, as there.
    """

    def __init__(self, config: Gru4RecConfig, parts: Parts) -> None:
        super().__init__(config.width, parts)
        self.config = config
        read = [config.width, *(config.hidden for _ in range(config.layers - 1))]
        # a layer at a time: dropout between them is then ours, and no generator of the device is inside the recurrence
        self.layers = nn.ModuleList(nn.GRU(width, config.hidden, batch_first=True) for width in read)
        self.predict = nn.Identity() if config.hidden == config.width else nn.Linear(config.hidden, config.width)

    def padded_states(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""
        x = rows
        for layer in self.layers:
            x = dropout(layer(x)[0], self.config.dropout, self.training)
        predicted: Tensor = self.predict(x)
        return predicted
