"""Cloze examples: some tracks are masked, and what stood there is predicted."""

from __future__ import annotations

import torch

from segue import skips
from segue.batches.data import Window
from segue.batches.example import Example, position_offset
from segue.columns import POSITION_OFFSET
from segue.session_batch import SessionBatch
from segue.store import MASK, PAD


def cloze_example(
    window: Window, mask_share: float, max_len: int, generator: torch.Generator, position: str
) -> Example:
    """Return inputs with the last training track always MASK and each other one with probability `mask_share`.

    Masked positions are the targets; their own feedback is hidden.
    """
    valid = window.valid
    is_last = valid & ~torch.nn.functional.pad(valid[:, 1:], (0, 1))
    drawn = torch.rand(valid.shape, generator=generator, device=valid.device) < mask_share
    masked = valid & (drawn | is_last)
    tracks = window.tracks.masked_fill(masked, MASK).masked_fill(~valid, PAD)
    feedback = window.strength.masked_fill(masked | ~valid, skips.FEEDBACK_HIDDEN)
    offset = position_offset(valid, max_len, generator, position)
    return Example(
        SessionBatch(tracks, feedback, valid, {POSITION_OFFSET: offset}), window.tracks, masked, window.strength
    )
