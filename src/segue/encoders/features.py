"""Features of tracks in the track space: tracks that were never trained can be read and ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from segue.axes import Bool, Float, Int

_ODD: Final = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Odd multipliers of SplitMix64 (Steele, Lea & Flood 2014), as signed numbers."""
_BITS: Final = 24
_BLOCK: Final = 1 << 16
NUM_SPECIALS: Final = 3
"""Rows that are no tracks: they are never dropped and have no features."""


@dataclass(frozen=True)
class FeaturesConfig:
    """Read the features of the store's track table beside each track's own row."""

    drop: float = 0.2
    """Share of tracks whose own row is left out in a step, so that their features must do alone."""
    optional: bool = False
    """Do without on a store that has none, rather than refuse it."""

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1:
            raise ValueError("drop must lie in [0, 1)")


class TrackFeatures(nn.Module):
    """row of a track = its own row (none if it was never trained, or is dropped) + W (its features).

    Features are standardised over the tracks that have them, and 0 where they are missing.
    """

    values: Tensor
    trained: Tensor

    def __init__(
        self, config: FeaturesConfig, width: int, values: Float[Tensor, "R F"], trained: Bool[Tensor, " R"]
    ) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(values.shape[1], width, bias=False)
        self.register_buffer("values", values)
        self.register_buffer("trained", trained)
        self.key: Tensor | None = None
        """Drawn for the step that runs, int64 [1]: which rows are dropped. None = none is."""

    def projected(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """Return W (features) of each track."""
        made: Tensor = self.project(self.values[tracks.long()])
        return made

    def kept(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape one"]:
        """Return 1 where a track's own row counts, else 0."""
        rows = tracks.long()
        own = self.trained[rows]
        if self.key is not None and self.config.drop > 0.0:
            own = own & ((_uniform(rows, self.key) >= self.config.drop) | (rows < NUM_SPECIALS))
        return own[..., None].float()

    @torch.no_grad()
    def added_to(self, rows: Float[Tensor, "P D"], tracks: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Return what own rows of `tracks` become."""
        return rows * self.kept(tracks) + self.projected(tracks)

    @torch.no_grad()
    def take_back(self, gradient: Float[Tensor, "P D"], tracks: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Add the gradient in W to its `grad`; return that in the own rows."""
        of_weight = gradient.T @ self.values[tracks.long()]
        weight = self.project.weight
        weight.grad = of_weight if weight.grad is None else weight.grad + of_weight
        return gradient * self.kept(tracks)

    @torch.no_grad()
    def whole(self, table: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """Return the rows of all tracks."""
        result = table * self.trained[:, None]
        for begin in range(0, len(table), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            result[part] += self.values[part] @ self.project.weight.T
        return result


def _uniform(rows: Int[Tensor, "*shape"], key: Int[Tensor, " one"]) -> Float[Tensor, "*shape"]:
    """Return a number in [0, 1) for each row: a hash of row and key, the same wherever a row is met in a step."""
    mixed = (rows + key * _ODD[0]) * _ODD[1]
    mixed = (mixed ^ ((mixed >> 30) & 0x3FFFFFFFF)) * _ODD[2]
    mixed = mixed ^ ((mixed >> 27) & 0x1FFFFFFFFF)
    return (mixed & (2**_BITS - 1)).float() / 2**_BITS
