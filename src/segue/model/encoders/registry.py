"""The encoders by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.model.encoders.caser import CaserConfig, CaserEncoder
from segue.model.encoders.causal import CausalConfig, CausalEncoder
from segue.model.encoders.cloze import ClozeConfig, ClozeEncoder
from segue.model.encoders.encoder import Encoder
from segue.model.encoders.gru4rec import Gru4RecConfig, Gru4RecEncoder
from segue.model.encoders.nextitnet import NextItNetConfig, NextItNetEncoder

ENCODERS: Final[Mapping[type[Any], type[Encoder]]] = {
    CausalConfig: CausalEncoder,
    ClozeConfig: ClozeEncoder,
    Gru4RecConfig: Gru4RecEncoder,
    NextItNetConfig: NextItNetEncoder,
    CaserConfig: CaserEncoder,
}
"""Encoders by the type of their config."""
ENCODER_CONFIGS: Final[Mapping[str, type[Any]]] = {config.kind: config for config in ENCODERS}
"""`[encoder] kind` to the config that its other keys make."""
