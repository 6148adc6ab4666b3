"""The encoders by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from segue.encoders.caser import CaserConfig, CaserEncoder
from segue.encoders.causal import CausalConfig, CausalEncoder
from segue.encoders.cloze import ClozeConfig, ClozeEncoder
from segue.encoders.encoder import Encoder
from segue.encoders.gru4rec import Gru4RecConfig, Gru4RecEncoder
from segue.encoders.nextitnet import NextItNetConfig, NextItNetEncoder

EncoderConfig = CausalConfig | ClozeConfig | Gru4RecConfig | NextItNetConfig | CaserConfig
ENCODERS: Final[Mapping[str, type[Any]]] = {
    "causal": CausalConfig,
    "cloze": ClozeConfig,
    "gru4rec": Gru4RecConfig,
    "nextitnet": NextItNetConfig,
    "caser": CaserConfig,
}
"""`[encoder] kind` to the config that its other keys make."""

_MAKERS: Final[Mapping[type[Any], Callable[..., Encoder]]] = {
    CausalConfig: CausalEncoder,
    ClozeConfig: ClozeEncoder,
    Gru4RecConfig: Gru4RecEncoder,
    NextItNetConfig: NextItNetEncoder,
    CaserConfig: CaserEncoder,
}


def build_encoder(
    config: Any, num_tracks: int, max_len: int, *, sparse: bool = True, generator: torch.Generator
) -> Encoder:
    """Return the initialised encoder of `config` over `num_tracks` tracks and `max_len` positions.

    `sparse`: gradients of the track table touch only the rows used (never with the full softmax).
    """
    encoder = _MAKERS[type(config)](config, num_tracks, max_len, sparse=sparse)
    encoder.initialise(generator)
    return encoder
