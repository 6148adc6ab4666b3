"""`[next_track]` of a recipe: what is predicted at each position, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

TargetRule = Literal["next", "listened", "next_listened"]


@dataclass(frozen=True, kw_only=True)
class NextTrackConfig:
    """What every kind has: which tracks are targets, and what becomes of the skipped ones."""

    weight: float = 0.5
    """beta, its share beside the terms."""
    targets: TargetRule = "next"
    """next: the track after each position, skipped or not. listened: the same, but where it was skipped nothing is
    predicted. next_listened (causal): the next track that was listened to, however many were skipped before it."""
    skipped: Literal["predict", "avoid"] = "predict"
    """Targets that were skipped: predicted as any other, by -log p, or avoided, by -log(1 - p) (not to recommend;
    Wang et al., RecSys 2023)."""
    skipped_weight: float = 1.0
    """Weight of a skipped target beside that of any other, which is 1."""
    own_skips: bool = False
    """Each target is compared with the tracks skipped in its session too (and never listened to there)."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError("weight must be above 0")
        if self.targets not in ("next", "listened", "next_listened"):
            raise ValueError("targets must be next, listened or next_listened")
        if self.skipped not in ("predict", "avoid"):
            raise ValueError("skipped must be predict or avoid")
        if not self.skipped_weight > 0:
            raise ValueError("skipped_weight must be above 0 (targets = 'listened' leaves skipped targets out)")
        if self.targets != "next" and (self.skipped != "predict" or self.skipped_weight != 1.0):
            raise ValueError("skipped and skipped_weight are about skipped targets: targets must be 'next'")

    @property
    def is_plain(self) -> bool:
        """Whether every target counts alike and is compared with what was drawn alone."""
        return self.skipped == "predict" and self.skipped_weight == 1.0 and not self.own_skips


@dataclass(frozen=True)
class PerSession(NextTrackConfig):
    """For each session its own draw among the tracks not in its training part (the paper)."""

    negatives: int = 1000
    """M."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(negatives=self.negatives)


@dataclass(frozen=True)
class Shared(NextTrackConfig):
    """One uniform draw for the whole batch, copies of the target masked; the fast option."""

    negatives: int = 1000
    """M, drawn afresh each step."""
    log_q: bool = False
    """Add -log(M / V), V candidates, to each negative's score: what it is expected to be drawn."""
    loss: Literal["softmax", "gbce"] = "softmax"
    """gbce: binary cross-entropy of the target and of each negative, the target's probability raised to beta so that
    what is learnt from few negatives is calibrated (gSASRec; Petrov & Macdonald 2023)."""
    gbce_t: float = 0.75
    """t of gbce: 1 undoes the sampling wholly, 0 not at all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(negatives=self.negatives)
        if self.loss not in ("softmax", "gbce"):
            raise ValueError("loss must be softmax or gbce")
        if not 0 <= self.gbce_t <= 1:
            raise ValueError("gbce_t must lie in [0, 1]")
        if self.loss == "gbce" and (self.log_q or self.skipped == "avoid"):
            raise ValueError(
                "loss = 'gbce' corrects the sampling itself and has no p: leave log_q and skipped = 'avoid' out"
            )

    @property
    def is_plain(self) -> bool:
        """Whether every target counts alike in a softmax."""
        return super().is_plain and self.loss == "softmax"


@dataclass(frozen=True)
class Mixed(NextTrackConfig):
    """Uniform draws beside draws from the batch's own targets, shared by the batch, copies of the target masked.

    Tracks that are often a target are often drawn, which alone would push popular tracks down: logQ undoes it (Bengio &
    Senecal 2008; the mixture of Yang et al. 2020). We correct negatives only: to correct the target's own score too
    would starve it again.
    """

    uniform: int = 4096
    """U, drawn from the candidates with replacement, afresh each step."""
    batch: int = 4096
    """R, drawn from the real targets of the batch with replacement; a track that is several targets counts as many."""
    log_q: bool = True
    """Add -log(U / V + R c / sum c) to each negative's score: V candidates, c = how often its track is a target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(uniform=self.uniform, batch=self.batch)


@dataclass(frozen=True)
class Full(NextTrackConfig):
    """Every track is a negative: the exact softmax."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.own_skips:
            raise ValueError("own_skips adds nothing where every track is a negative: leave it out")


NEXT_TRACK: Final[Mapping[str, type[Any]]] = {
    "per_session": PerSession,
    "shared": Shared,
    "mixed": Mixed,
    "full": Full,
}
"""`[next_track] kind` to the config that its other keys make."""


def num_shared(config: Shared | Mixed | Full) -> tuple[int, int]:
    """Return how many negatives a batch draws and shares: uniformly from the candidates, and from its own targets."""
    if isinstance(config, Mixed):
        return config.uniform, config.batch
    return (config.negatives if isinstance(config, Shared) else 0), 0


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1")
