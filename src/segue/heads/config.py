"""`[heads]` of a recipe: each head is a table of its own, and what has no table is not there."""

from __future__ import annotations

from dataclasses import dataclass

from segue.heads.listen import ListenConfig
from segue.heads.transitions import TransitionsConfig


@dataclass(frozen=True)
class HeadsConfig:
    """Which heads an encoder has."""

    listen: ListenConfig | None = None
    """P(listen | session, track)."""
    transitions: TransitionsConfig | None = None
    """What followed the last track in training, mixed into the softmax."""
