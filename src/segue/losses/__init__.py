"""What a recipe trains for. To add a loss: a frozen record with its `mean_loss`, a line here, a naive reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.losses.loss_inputs import LossInputs, SessionNegatives
from segue.losses.next_track import Auto, Full, Gbce, Mixed, NextTrackConfig, PerSession, Shared
from segue.losses.terms import SkipContrastive, TermDraws

NEXT_TRACK: Final[Mapping[str, type[Any]]] = {
    "per_session": PerSession,
    "shared": Shared,
    "mixed": Mixed,
    "gbce": Gbce,
    "full": Full,
    "auto": Auto,
}
"""`[next_track] kind` to the config that its other keys make."""
TERMS: Final[Mapping[str, type[Any]]] = {"skip_contrastive": SkipContrastive}
"""Terms of `[[terms]] kind = ...`."""

__all__ = [
    "NEXT_TRACK",
    "TERMS",
    "Auto",
    "Full",
    "Gbce",
    "LossInputs",
    "Mixed",
    "NextTrackConfig",
    "PerSession",
    "SessionNegatives",
    "Shared",
    "SkipContrastive",
    "TermDraws",
]
