"""Small models, and batches, training data and examples of padded sessions, for tests that need no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segue import skips
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.batches.data import SessionData
from segue.batches.example import Example, ExampleConfig, draw_example, make_example
from segue.model import Encoder, Facts, ModelConfig, build_model
from segue.model.inputs import TrackValues
from segue.store import NUM_SPECIALS


def encoder_of(
    config: Any,
    num_tracks: int,
    max_len: int,
    generator: torch.Generator | None = None,
    inputs: Mapping[str, Any] | None = None,
    heads: Mapping[str, Any] | None = None,
    counts: TrainingCounts | None = None,
    track_values: TrackValues | None = None,
    temperature: float = 0.0,
) -> Encoder:
    """Return the initialised encoder of `config`, on facts of `num_tracks` tracks.

    `inputs`, `heads`: configs by name. Without a generator the seed is 0; without counts no training row is counted.
    """
    facts = Facts(num_tracks, counts or TrainingCounts.nothing(num_tracks + NUM_SPECIALS), track_values)
    model = ModelConfig(config, max_len, inputs or {}, heads or {}, temperature=temperature)
    return build_model(model, facts, generator or torch.Generator().manual_seed(0))


def padded_batch(
    tracks: Tensor,
    feedback: Tensor,
    valid: Tensor,
    session_side: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Return the batch of padded sessions [B, L]; padding may stand anywhere.

    A session without a valid position gets one that holds PAD.
    """
    first = torch.zeros_like(valid)
    first[:, :1] = True
    present = valid | (first & ~valid.any(dim=1, keepdim=True))
    lengths = present.sum(dim=1)
    return Batch(
        (tracks * valid)[present],
        feedback.masked_fill(~valid, skips.FEEDBACK_HIDDEN)[present],
        (present.long().cumsum(dim=1) - 1)[present],
        torch.nn.functional.pad(lengths.cumsum(0), (1, 0)),
        max(valid.shape[1], 1),
        session_side=session_side or {},
    )


def training_data(tracks: Tensor, feedback: Tensor, valid: Tensor) -> SessionData:
    """Return the rows of padded sessions [B, L], all of which train; vocabularies map no track to another."""
    end = valid.sum(dim=1).cumsum(0)
    return SessionData(
        tracks[valid].int(),
        feedback[valid].to(torch.uint8),
        torch.arange(int(tracks.max()) + 1, dtype=torch.int32),
        end - valid.sum(dim=1),
        end,
        torch.arange(len(end)),
    )


def example_config(encoder: Encoder, *, share: float = 0.0, shifted: bool = True) -> ExampleConfig:
    """Return how an encoder's examples are made; `share` of positions read a special row."""
    width = encoder.max_len + (not encoder.masked)
    return ExampleConfig(encoder.masked, encoder.max_len, width, share, shifted)


def example_of(config: ExampleConfig, data: SessionData, generator: torch.Generator, more: int = 0) -> Example:
    """Return the example of all training sessions; `more` positions follow the last session."""
    index = torch.arange(len(data.train_begin))
    lengths = (data.train_end - data.train_begin).clamp(max=config.width)
    num_positions = int(lengths.sum()) - (0 if config.masked else len(index)) + more
    draws = draw_example(config, data, (len(index), num_positions), generator)
    return make_example(config, data, index, num_positions, draws)
