"""Encoders: sessions in, states out. To add one: a file, a config, a line in `ENCODERS`, the conformance suite."""

from segue.encoders.encoder import Encoder
from segue.encoders.registry import ENCODERS, EncoderConfig, build_encoder

__all__ = ["ENCODERS", "Encoder", "EncoderConfig", "build_encoder"]
