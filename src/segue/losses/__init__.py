"""What a recipe trains for: the next-track loss and the terms beside it, each a frozen record with its loss."""

from segue.losses.next_track import NEXT_TRACK, Full, Mixed, NextTrackConfig, PerSession, Shared
from segue.losses.scene import Scene, SessionNegatives
from segue.losses.terms import TERMS, SkipContrastive, TermDraws

__all__ = [
    "NEXT_TRACK",
    "TERMS",
    "Full",
    "Mixed",
    "NextTrackConfig",
    "PerSession",
    "Scene",
    "SessionNegatives",
    "Shared",
    "SkipContrastive",
    "TermDraws",
]
