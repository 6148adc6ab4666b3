"""Who is who in the skip-contrastive term: anchors, the positive of each, and their negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from segue.objectives.shapes import Bool, Int


@dataclass(frozen=True)
class Heard:
    """How the sessions of a batch were heard."""

    tracks: Int[Tensor, "B W"]
    """Track ids, 0 = padding; equal ids are the same track."""
    skipped: Bool[Tensor, "B W"]
    """Never where `listened` is."""
    listened: Bool[Tensor, "B W"]


@dataclass(frozen=True)
class Rules:
    """What of the correct term's choices is made otherwise; the defaults are the correct term."""

    listened_negatives: bool = False
    """N keeps skipped positions whose track is also listened to in the session."""
    all_anchors: bool = False
    """Skipped positions are anchors too; an anchor's own track is then none of its negatives."""


AS_CORRECT: Final = Rules()


@dataclass(frozen=True)
class Roles:
    """Anchors, and who attracts and who repels them.

    Positives and negatives are places in a session's *pool* of N rows: its own W positions, then, where something
    stands beside it, the W rows of that (`segue.objectives.contrast.pooled`).
    """

    anchor: Bool[Tensor, "B W"]
    positive: Int[Tensor, "B W"]
    """Place in the pool of each anchor's positive; anything where there is no anchor."""
    negative: Bool[Tensor, "B K N"]
    """K = 1: the same negatives for all anchors of a session, else K = W: each anchor its own."""
    beside: Int[Tensor, " B"] | None = None
    """Which sequence of rows stands beside each session: those of session 0..B - 1, or of draw B..2B - 1."""


def roles(heard: Heard, rules: Rules = AS_CORRECT) -> Roles:
    """Return the roles of the positions of sessions, by the rules of the correct term or others.

    N = the skipped positions whose track is never listened to in the session. Anchors are listened positions with a
    later listened one and with a negative; the positive stands at the *next* listened position.
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
    places = torch.arange(length, device=listened.device).masked_fill(~listened, length)
    # the smallest listened place at or after each position, then shifted: strictly after
    at_or_after = places.flip(1).cummin(dim=1).values.flip(1)
    after = torch.nn.functional.pad(at_or_after[:, 1:], (0, 1), value=length)
    exists = after < length
    return after.masked_fill(~exists, 0), exists
