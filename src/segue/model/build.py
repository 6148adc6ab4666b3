"""The model of a recipe: for training, for a run that is loaded, and for export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from segue import skips
from segue.axes import Bool
from segue.batches.counts import TrainingCounts
from segue.model.encoders.encoder import Encoder, Parts
from segue.model.encoders.registry import ENCODERS
from segue.model.heads import HEADS
from segue.model.inputs import INPUTS, TrackValues
from segue.store import NUM_SPECIALS


@dataclass(frozen=True)
class ModelConfig:
    """The parts of a recipe that decide which parameters a model has."""

    encoder: Any
    """A config of `ENCODERS`."""
    max_len: int
    """Most positions of a session that the encoder reads."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Configs of `INPUTS` by name."""
    heads: Mapping[str, Any] = field(default_factory=dict)
    """Configs of `HEADS` by name."""
    sparse: bool = True
    """Whether a training step touches only some rows of the track table (never with the full softmax)."""
    temperature: float = 0.0
    """tau of a cosine; 0 = plain dot products."""
    reads_histories: bool = False
    """Whether it reads what the listener played before a session."""


@dataclass(frozen=True)
class Facts:
    """What a model needs to know of a store."""

    num_tracks: int
    """V."""
    counts: TrainingCounts
    """Counts over the training rows, for heads."""
    track_values: TrackValues | None = None
    """Features of tracks; None where there are none."""
    untrained: Bool[Tensor, " R"] | None = None
    """See `Parts.untrained`."""

    @classmethod
    def of_weights(
        cls, num_tracks: int, weights: Mapping[str, Tensor], skip_at_least: int = skips.SKIP_AT_LEAST
    ) -> Facts:
        """Return facts of the shapes that saved weights have; the values are loaded with the weights."""
        num_rows = num_tracks + NUM_SPECIALS
        saved = weights.get("inputs.features.values")
        track_values = None
        if saved is not None:
            width = saved.shape[1] if saved.dim() == 2 else 0
            track_values = TrackValues(torch.zeros(num_rows, width), torch.zeros(num_rows, dtype=torch.bool))
        untrained = torch.zeros(num_rows, dtype=torch.bool) if "untrained" in weights else None
        return cls(num_tracks, TrainingCounts.nothing(num_rows, skip_at_least), track_values, untrained)


def build_model(config: ModelConfig, facts: Facts, generator: torch.Generator) -> Encoder:
    """Return the initialised encoder of `config` with its inputs and heads."""
    encoder_type, width = ENCODERS[type(config.encoder)], config.encoder.width
    wanted = {name: kind for name, kind in INPUTS.items() if name in config.inputs}
    built = {name: kind.build(config.inputs[name], width, facts.track_values) for name, kind in wanted.items()}
    inputs = {name: part for name, part in built.items() if part is not None}
    heads = {name: HEADS[name](config.heads[name], width, facts.counts) for name in HEADS if name in config.heads}
    parts = Parts(
        facts.num_tracks, config.max_len, inputs, heads, config.sparse, config.temperature, config.reads_histories,
        facts.untrained,
    )  # fmt: skip
    encoder = encoder_type(config.encoder, parts)
    encoder.initialise(generator)
    return encoder
