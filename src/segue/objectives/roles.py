"""Which positions are anchors, positives and negatives of the skip-contrastive term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.objectives.shapes import Bool, Int


@dataclass(frozen=True)
class Heard:
    """The tracks of B sessions, padded to W positions, and how they were heard."""

    tracks: Int[Tensor, "B W"]
    """Track ids, 0 = padding. Equal ids are the same track."""
    skipped: Bool[Tensor, "B W"]
    """Never where `listened` is."""
    listened: Bool[Tensor, "B W"]


@dataclass(frozen=True)
class Rules:
    """Departures from the correct term; the defaults are the correct term."""

    listened_negatives: bool = False
    """Skipped positions are negatives even if their track is also listened to in the session."""
    all_anchors: bool = False
    """Skipped positions are anchors too. The anchor's own track is then not one of its negatives."""


AS_CORRECT: Final = Rules()


@dataclass(frozen=True)
class Roles:
    """The anchors of a batch, and the positive and the negatives of each.

    Positives and negatives are columns of a session's *pool* of N rows: its own W positions, followed by W rows of
    another sequence if `beside` names one (`segue.objectives.skip_contrastive.pooled`).
    """

    anchor: Bool[Tensor, "B W"]
    positive: Int[Tensor, "B W"]
    """Column in the pool of each anchor's positive; any column where there is no anchor."""
    negative: Bool[Tensor, "B K N"]
    """Which columns are negatives. K = 1: the same for all anchors of a session; K = W: for each anchor."""
    beside: Int[Tensor, " B"] | None = None
    """The other sequence of each session: session 0..B - 1, or sequence of drawn tracks B..2B - 1."""


def roles(heard: Heard, rules: Rules = AS_CORRECT) -> Roles:
    """Return the roles of the positions of each session.

    Negatives are the skipped positions whose track is never listened to in the session. Anchors are listened positions
    with a later listened position, in sessions with a negative. The positive is the *next* listened position. `rules`
    may change this.
    """
    present = heard.tracks != 0
    skipped, listened = heard.skipped & present, heard.listened & present
    unwanted = skipped if rules.listened_negatives else negatives_of(heard.tracks, skipped, listened)
    negative, anchor = unwanted[:, None, :], listened
    if rules.all_anchors:
        anchor = listened | skipped
        negative = negative & (heard.tracks[:, :, None] != heard.tracks[:, None, :])
    positive, exists = next_listened(listened)
    anchor = anchor & exists & negative.any(dim=2)
    return Roles(anchor, positive, negative)


def negatives_of(
    tracks: Int[Tensor, "B L"], skipped: Bool[Tensor, "B L"], listened: Bool[Tensor, "B L"]
) -> Bool[Tensor, "B L"]:
    """Return the skipped positions whose track is listened to nowhere in the session."""
    same = tracks[:, :, None] == tracks[:, None, :]
    also_listened = (same & listened[:, None, :]).any(dim=2)
    return skipped & ~also_listened


def next_listened(listened: Bool[Tensor, "B L"]) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Return the next listened position after each position (0 where there is none), and whether there is one."""
    length = listened.shape[1]
    position = torch.arange(length, device=listened.device).masked_fill(~listened, length)
    # the first listened position at or after each one, shifted by one: strictly after
    at_or_after = position.flip(1).cummin(dim=1).values.flip(1)
    after = functional.pad(at_or_after[:, 1:], (0, 1), value=length)
    exists = after < length
    return after.masked_fill(~exists, 0), exists
