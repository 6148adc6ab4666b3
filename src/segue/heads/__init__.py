"""What is trained on top of an encoder's states: transitions mixed into the softmax, and P(listen)."""

from segue.heads.config import HeadsConfig
from segue.heads.counts import Counts
from segue.heads.listen import ListenConfig, ListenHead, SettledListen
from segue.heads.make import build_heads
from segue.heads.transitions import Settled, TransitionsConfig, TransitionsHead

__all__ = [
    "Counts",
    "HeadsConfig",
    "ListenConfig",
    "ListenHead",
    "Settled",
    "SettledListen",
    "TransitionsConfig",
    "TransitionsHead",
    "build_heads",
]
