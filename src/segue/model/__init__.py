"""Models: encoders, the inputs that they read beside tracks, and the heads on top of their states."""

from segue.model.build import Facts, ModelConfig, build_model
from segue.model.encoders.encoder import Encoder

__all__ = ["Encoder", "Facts", "ModelConfig", "build_model"]
