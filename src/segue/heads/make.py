"""The heads of a recipe."""

from __future__ import annotations

import torch
from torch import nn

from segue.heads.config import HeadsConfig
from segue.heads.counts import Counts
from segue.heads.listen import ListenHead
from segue.heads.transitions import TransitionsHead

INIT_BOUND = 0.02
"""As of every parameter (the paper)."""


def build_heads(
    config: HeadsConfig, width: int, num_tracks: int, counts: Counts, generator: torch.Generator
) -> dict[str, nn.Module]:
    """Return the initialised heads that `config` asks for, by name."""
    heads: dict[str, nn.Module] = {}
    if config.transitions is not None:
        transitions = heads["transitions"] = TransitionsHead(width, counts)
        transitions.initialise(num_tracks)
    if config.listen is not None:
        listen = heads["listen"] = ListenHead(config.listen, width, counts)
        for parameter in listen.parameters():
            nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
        listen.initialise()
    return heads
