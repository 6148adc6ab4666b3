"""Features of tracks in the track space: tracks that were never trained can be read and ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from segue.axes import Float, Int
from segue.config import Config, Share
from segue.errors import InputError
from segue.model.inputs.input import Input, TrackValues
from segue.store import NUM_SPECIALS, Store

_ODD: Final = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Odd multipliers of SplitMix64 (Steele, Lea & Flood 2014), as signed numbers."""
_BITS: Final = 24
_BLOCK: Final = 1 << 16


@dataclass(frozen=True)
class FeaturesConfig(Config):
    """Read the features of the store's track table beside each track's own row."""

    drop: Share = 0.2
    """Share of tracks whose table row is left out in a step, so that their features alone must do."""
    optional: bool = False
    """Train without features on a store that has none, rather than refuse it."""


class FeaturesInput(Input):
    """row of a track = its table row (0 if it was never trained, or is dropped) + W (its features).

    Features are standardised over the tracks that have them; a missing one is 0. Special rows have no features and
    are never dropped.
    """

    config_type = FeaturesConfig
    only_causal = False
    values: Tensor
    trained: Tensor

    def __init__(self, config: FeaturesConfig, width: int, track_values: TrackValues) -> None:
        super().__init__(config, width)
        self.project = nn.Linear(track_values.values.shape[1], width, bias=False)
        self.register_buffer("values", track_values.values)
        self.register_buffer("trained", track_values.trained)

    @classmethod
    def build(cls, config: FeaturesConfig, width: int, track_values: TrackValues | None) -> FeaturesInput | None:
        """Return the input; None where features are optional and there are none."""
        assert track_values is not None or config.optional, "check_store comes first"
        return None if track_values is None else cls(config, width, track_values)

    @classmethod
    def check_store(cls, config: FeaturesConfig, store: Store) -> None:
        """Refuse a store without features, unless they are optional (InputError)."""
        if not config.optional and store.track_array("features") is None:
            raise InputError(
                f"{store.path} has no features of tracks, which [inputs.features] reads: prepare the log with --tracks "
                "FILE, or leave the input out"
            )

    def track_rows(
        self, table_rows: Float[Tensor, "*shape D"], tracks: Int[Tensor, "*shape"], key: Tensor | None = None
    ) -> Float[Tensor, "*shape D"]:
        """Return table row (where it counts) + W (features). `key` decides which rows are dropped."""
        index = tracks.long()
        counts = self.trained[index]
        if key is not None and self.config.drop > 0.0:
            counts = counts & ((_uniform(index, key) >= self.config.drop) | (index < NUM_SPECIALS))
        projected: Tensor = self.project(self.values[index])
        return table_rows * counts[..., None] + projected

    def all_rows(self, table: Float[Tensor, "R D"]) -> Float[Tensor, "R D"]:
        """Return the rows of all tracks, block by block."""
        result = table * self.trained[:, None]
        for begin in range(0, len(table), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            result[part] += self.values[part] @ self.project.weight.detach().T
        return result


def _uniform(rows: Int[Tensor, "*shape"], key: Int[Tensor, " one"]) -> Float[Tensor, "*shape"]:
    """Return a number in [0, 1) for each row: a hash of row and key, the same wherever a row is met in a step."""
    mixed = (rows + key * _ODD[0]) * _ODD[1]
    mixed = (mixed ^ ((mixed >> 30) & 0x3FFFFFFFF)) * _ODD[2]
    mixed = mixed ^ ((mixed >> 27) & 0x1FFFFFFFFF)
    return (mixed & (2**_BITS - 1)).float() / 2**_BITS
