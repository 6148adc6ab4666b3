"""The causal encoder (SASRec-like): position i sees positions <= i and predicts the track at i + 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from segue.config import Share
from segue.model.encoders.blocks import TransformerConfig
from segue.model.encoders.transformer import TransformerEncoder


@dataclass(frozen=True)
class CausalConfig(TransformerConfig):
    """A transformer that looks back only (Kang & McAuley 2018; Seshadri & Knees 2023)."""

    kind: ClassVar[str] = "causal"
    unknown_share: Share = 0.0
    """Share of positions at which training reads UNKNOWN in place of the track, so that UNKNOWN has a trained row for
    tracks without one. The track stays a target and a track of its session."""

    @property
    def replaced_share(self) -> float:
        """Share of positions at which training reads a special row."""
        return self.unknown_share


class CausalEncoder(TransformerEncoder):
    """Position i sees positions <= i."""

    masked = False
    causal = True
