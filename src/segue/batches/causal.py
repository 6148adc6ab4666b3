"""Causal examples: each input track predicts the one after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from segue import skips
from segue.batches.context import forgotten
from segue.batches.data import Window
from segue.batches.earlier import forgetting_earlier
from segue.batches.example import Example, position_offset
from segue.columns import CONTEXT, POSITION_OFFSET
from segue.session_batch import SessionBatch
from segue.store import PAD, UNKNOWN


def causal_example(
    window: Window,
    max_len: int,
    generator: torch.Generator,
    position: str,
    unknown_share: float = 0.0,
    context: Sequence[str] = (),
) -> Example:
    """Return inputs = all but each window's last track, and the next track at each input as its target.

    A window holds at most `max_len` + 1 tracks, so inputs are at most `max_len` long. A share of `unknown_share` of the
    inputs is read as UNKNOWN. `context`: names of the inputs that the window has beside its tracks.
    """
    unknown = None
    if unknown_share > 0.0:
        unknown = torch.rand(window.valid.shape, generator=generator, device=window.valid.device) < unknown_share
    valid = window.valid[:, 1:]  # an input is valid where a next track exists (windows are right-padded)
    tracks = window.tracks[:, :-1].masked_fill(~valid, PAD)
    if unknown is not None:
        tracks = tracks.masked_fill(unknown[:, :-1] & valid, UNKNOWN)
    feedback = window.strength[:, :-1].masked_fill(~valid, skips.FEEDBACK_HIDDEN)
    offset = position_offset(valid, max_len, generator, position)
    side = {POSITION_OFFSET: offset}
    if window.context is not None:
        drawn = torch.rand((len(tracks), len(context)), generator=generator, device=tracks.device)
        side[CONTEXT] = forgotten(window.context[:, :-1], drawn, context)
    if window.earlier:
        side |= forgetting_earlier(window.earlier, generator)
    batch = SessionBatch(tracks, feedback, valid, side)
    return Example(batch, window.tracks[:, 1:], valid, window.strength[:, 1:])
