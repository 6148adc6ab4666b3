"""The variants of the contrastive term by the words of the method, as loops, and batches to try them on."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor

from segue.objectives.roles import Heard
from segue.objectives.variants import VARIANTS, VariantDraws

TAU = 0.3


@dataclasses.dataclass(frozen=True)
class Batch:
    context: Tensor
    rows: Tensor
    heard: Heard
    drawn: VariantDraws

    def given(self, variant: str) -> tuple[Heard, VariantDraws]:
        """Return what a variant of the term is told, and no more."""
        draws = VARIANTS[variant].draws
        keys, rows = self.drawn.keys, self.drawn.rows
        return self.heard, VariantDraws(keys if draws == "keys" else None, rows if draws == "tracks" else None)


def random_batch(seed: int, sessions: int = 6, length: int = 9, num_tracks: int = 9, width: int = 6) -> Batch:
    """Unequal lengths; session 0 without skips, session 1 all skips; few tracks, so that they repeat."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(num_tracks + 1, width, generator=generator, dtype=torch.float64)
    table[0], table[1] = 0, 0  # padding, and one track whose row is zero
    tracks = torch.randint(1, num_tracks + 1, (sessions, length), generator=generator)
    valid = torch.arange(length) < torch.randint(3, length + 1, (sessions,), generator=generator)[:, None]
    feedback = torch.randint(0, 5, (sessions, length), generator=generator)  # 0, 1 listened, 2, 3 skipped, 4 unknown
    feedback[0], feedback[1] = 0, 3
    tracks = tracks * valid
    rows = table[tracks].clone()
    context = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    skipped, listened = (feedback > 1) & (feedback < 4) & valid, (feedback < 2) & valid
    drawn = VariantDraws(
        torch.rand(sessions, generator=generator),
        table[torch.randint(1, num_tracks + 1, tracks.shape, generator=generator)],
    )
    return Batch(context, rows, Heard(tracks, skipped, listened), drawn)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.norm().clamp(min=1e-8) * b.norm().clamp(min=1e-8)) / TAU


class Naive:
    """The words of the method, session by session and anchor by anchor."""

    def __init__(self, batch: Batch, variant: str, mutant: str = "") -> None:
        self.batch, self.variant, self.mutant = batch, variant, mutant
        heard = batch.heard
        flags = heard.skipped, heard.listened
        self.skipped, self.listened = flags[::-1] if variant == "inverted" else flags
        self.tracks = heard.tracks.tolist()
        takes = [b for b in range(len(self.tracks)) if self.unwanted(b)]
        assert batch.drawn.keys is not None
        takes.sort(key=batch.drawn.keys.tolist().__getitem__)
        self.partner = dict(zip(takes, takes[1:] + takes[:1], strict=True)) if len(takes) > 1 else {}

    def heard_in(self, b: int) -> set[int]:
        return {t for t, heard in zip(self.tracks[b], self.listened[b].tolist(), strict=True) if heard}

    def unwanted(self, b: int) -> list[int]:
        places = [i for i, skipped in enumerate(self.skipped[b].tolist()) if skipped]
        if self.variant == "listened_negatives" and self.mutant != "listened negatives dropped":
            return places
        return [i for i in places if self.tracks[b][i] not in self.heard_in(b)]

    def anchors(self, b: int) -> list[tuple[int, int]]:
        listened = [i for i, heard in enumerate(self.listened[b].tolist()) if heard]
        pairs = list(itertools.pairwise(listened))
        if self.variant == "all_anchors":
            both = [i for i, s in enumerate((self.skipped[b] | self.listened[b]).tolist()) if s]
            pairs = [(i, min(j for j in listened if j > i)) for i in both if listened and i < listened[-1]]
        return pairs

    def crossed(self, b: int) -> list[Tensor]:
        other = b if self.mutant == "own session" else self.partner.get(b)
        if self.mutant == "tile":  # queries are session-major, so a tiled negative comes from any session
            other = (b * 7 + 3) % len(self.tracks)
        if other is None:
            return []
        places = self.unwanted(other)
        if self.mutant != "own listened kept":
            places = [n for n in places if self.tracks[other][n] not in self.heard_in(b)]
        return [self.batch.rows[other, n] for n in places]

    def negatives(self, b: int, i: int) -> list[Tensor]:
        places = self.unwanted(b)
        if self.variant == "cross_session":
            return self.crossed(b)
        if self.variant == "random_negatives":
            assert self.batch.drawn.rows is not None
            return [self.batch.drawn.rows[b, places[0] if self.mutant == "one draw" else n] for n in places]
        if self.variant == "all_anchors" and self.mutant != "own track stays":
            places = [n for n in places if self.tracks[b][n] != self.tracks[b][i]]
        if self.mutant == "dropped mask":
            places = list(range(len(self.tracks[b])))
        return [self.batch.rows[b, n] for n in places]

    def loss(self) -> Tensor:
        losses = []
        for b in range(len(self.tracks)):
            if not self.unwanted(b) or (self.variant == "cross_session_anchors" and not self.crossed(b)):
                continue
            for i, p in self.anchors(b):
                negatives = self.negatives(b, i)
                if negatives or self.mutant == "empty anchors kept":
                    losses.append(self.anchor_loss(b, i, p, negatives))
        nothing = (self.batch.context * 0).sum() + (self.batch.rows * 0).sum()
        return torch.stack(losses).mean() if losses else nothing

    def anchor_loss(self, b: int, i: int, p: int, negatives: list[Tensor]) -> Tensor:
        context, positive = self.batch.context[b, i], self.batch.rows[b, p]
        if self.variant == "random_positive":
            assert self.batch.drawn.rows is not None
            positive = self.batch.drawn.rows[b, 0 if self.mutant == "one draw" else i]
        near = cosine(context, positive)
        if self.variant == "align_only":
            return -near * (TAU if self.mutant == "no temperature" else 1)
        alone = (self.variant == "positive_not_in_denominator") != (self.mutant == "target in or out")
        sums = [cosine(context, n).exp() for n in negatives] + ([] if alone else [near.exp()])
        return torch.stack(sums).sum().log() - near
