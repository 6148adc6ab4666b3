"""NextItNet: dilated causal convolutions in residual blocks (Yuan et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float
from segue.model.encoders.dropout import dropout
from segue.model.encoders.encoder import Parts
from segue.model.encoders.lookback import LookbackConfig, LookbackEncoder

KERNEL: Final = 3
"""Rows that one convolution reads."""
DILATIONS: Final = (1, 4, 1, 4)
"""One residual block each: its first convolution has this dilation, its second twice it (1, 2, 4, 8, 1, ...). Kernel
and dilations are the paper's, repeated as often as 20 tracks can use."""


@dataclass(frozen=True)
class NextItNetConfig(LookbackConfig):
    """The shape of NextItNet."""

    kind: ClassVar[str] = "nextitnet"


class NextItNetEncoder(LookbackEncoder):
    """Track rows -> residual blocks = y_hat (Yuan, Karatzoglou, Arapakis, Jose & He 2019).

    Blocks are the second of the two residual blocks of the paper:

        x + relu(norm(conv_2d(relu(norm(conv_d(x)))))),  conv_d(x)_i = b + sum over k of W_k x_(i - k d).

    We differ: the output matrix is the track table; the softmax is sampled; and values are dropped where the
    transformers drop theirs, of the input rows and before each residual sum (the paper drops none).
    """

    def __init__(self, config: NextItNetConfig, parts: Parts) -> None:
        super().__init__(config.width, parts)
        self.config = config
        self.blocks = nn.ModuleList(ResidualBlock(config, dilation) for dilation in DILATIONS)

    def encode(self, rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions that begin at column 0, their rows followed by zeros."""
        x = dropout(rows, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return x


class ResidualBlock(nn.Module):
    """Two causal convolutions, each with layer norm and ReLU, beside the identity."""

    def __init__(self, config: NextItNetConfig, dilation: int) -> None:
        super().__init__()
        width, self.dropout = config.width, config.dropout
        self.near = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        self.far = nn.Conv1d(width, width, KERNEL, dilation=2 * dilation)
        self.near_norm, self.far_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return the block's output."""
        hidden = functional.relu(self.near_norm(_looking_back(self.near, x)))
        hidden = functional.relu(self.far_norm(_looking_back(self.far, hidden)))
        return x + dropout(hidden, self.dropout, self.training)


def _looking_back(layer: nn.Conv1d, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
    """Return the convolution whose last tap lies on each position itself, zeros before the first."""
    reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
    convolved: Tensor = layer(functional.pad(x.transpose(1, 2), (reach, 0)))
    return convolved.transpose(1, 2)
