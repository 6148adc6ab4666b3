"""Variants of the skip-contrastive term: each changes one thing, to find out where the gain of the term comes from.

The caller draws the random numbers. Source of the term: Seshadri & Knees 2023 (arXiv 2309.11623), section 3.4. The
ablations are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from segue.objectives.roles import AS_CORRECT, Heard, Roles, Rules, roles
from segue.objectives.shapes import Bool, Float, Int
from segue.objectives.skip_contrastive import Form, align, contrastive_loss, info_nce, negatives_alone, pooled


@dataclass(frozen=True)
class VariantDraws:
    """The random numbers that a variant needs for one batch; None = not needed."""

    keys: Float[Tensor, " B"] | None = None
    """Uniform in [0, 1), one for each session: they decide which session takes the negatives of which."""
    rows: Float[Tensor, "B W D"] | None = None
    """Rows of tracks drawn by their popularity in training, one for each position."""


Change = Callable[[Roles, Heard, VariantDraws], Roles]
"""Returns the roles of a variant, given those of the correct term."""


@dataclass(frozen=True)
class Variant:
    """How a variant differs from the correct term; the defaults are the correct term."""

    rules: Rules = AS_CORRECT
    inverted: bool = False
    """Whether listened and skipped are swapped, before all else."""
    change: Change | None = None
    form: Form = info_nce
    draws: Literal["nothing", "keys", "tracks"] = "nothing"
    """Which random numbers it needs."""


def varied_skip_loss(
    context: Float[Tensor, "B W D"],
    rows: Float[Tensor, "B W D"],
    heard: Heard,
    variant: Variant,
    draws: VariantDraws,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the mean loss of the anchors for a variant of `segue.objectives.skip_contrastive_loss`, scalar.

    Args:
        context: c at each position: the track rows themselves ('track') or encoder states ('session').
        rows: the row of each position's track; padding rows may be zero.
        heard: the track of each position, and how it was heard.
        variant: how the term differs from the correct one.
        draws: the random numbers that the variant needs.
        temperature: tau > 0.

    Denominator and empty case as in `segue.objectives.skip_contrastive_loss`.
    """
    if variant.inverted:
        heard = replace(heard, skipped=heard.listened, listened=heard.skipped)
    chosen = roles(heard, variant.rules)
    if variant.change is not None:
        chosen = variant.change(chosen, heard, draws)
    sources = rows if draws.rows is None else torch.cat([rows, draws.rows])
    return contrastive_loss(context, pooled(sources, chosen.beside), chosen, temperature, variant.form)


def cross_session(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the same anchors with the negatives of another session of the batch.

    `derangement` picks the other session among those with negatives. A negative that is listened to in the anchor's own
    session is left out (one that was skipped in both stays). Anchors without a remaining negative are dropped.
    """
    assert draws.keys is not None, "derangement needs keys"
    assert correct.negative.shape[1] == 1, "all anchors of a session have the same negatives"
    partner, exists = derangement(draws.keys, correct.negative.any(dim=2)[:, 0])
    theirs, listened_tracks = heard.tracks[partner], heard.tracks.masked_fill(~heard.listened, 0)
    listened_here = (theirs[:, :, None] == listened_tracks[:, None, :]).any(dim=2)
    still_negative = correct.negative[partner, 0] & ~listened_here & exists[:, None]
    negative = torch.cat([torch.zeros_like(still_negative), still_negative], dim=1)[:, None]
    return Roles(correct.anchor & still_negative.any(dim=1, keepdim=True), correct.positive, negative, partner)


def kept_by_cross_session(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the correct roles without the anchors that `cross_session` drops: the arm to compare it with."""
    return replace(correct, anchor=cross_session(correct, heard, draws).anchor)


def random_negatives(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the same anchors with a drawn track in place of each negative.

    A drawn track may also be in the session: it is drawn from the popularity, without a condition.
    """
    negative = torch.cat([torch.zeros_like(correct.negative), correct.negative], dim=2)
    return replace(correct, negative=negative, beside=_own_draw(correct.anchor))


def random_positive(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the same anchors and negatives with a drawn track as the positive of each anchor."""
    width = correct.anchor.shape[1]
    draw_index = (width + torch.arange(width, device=correct.anchor.device)).expand_as(correct.positive)
    negative = torch.cat([correct.negative, torch.zeros_like(correct.negative)], dim=2)
    return replace(correct, positive=draw_index, negative=negative, beside=_own_draw(correct.anchor))


def derangement(keys: Float[Tensor, " B"], taking: Bool[Tensor, " B"]) -> tuple[Int[Tensor, " B"], Bool[Tensor, " B"]]:
    """Return a partner for each session with `taking` set, and which sessions have a partner.

    The partners form one random cycle through these sessions, in the order of `keys`: each session is the partner of
    exactly one other, never of itself. (All cycles are equally likely, not all derangements.) Other sessions, and a
    session that is alone, get themselves and count as without a partner. The host never waits for the device.
    """
    order = keys.masked_fill(~taking, torch.inf).argsort(stable=True)  # sessions of the cycle first
    rank, number = torch.arange(len(keys), device=keys.device), taking.sum()
    following = torch.where(rank + 1 < number, rank + 1, 0)
    following = torch.where(rank < number, following, rank)
    partner = torch.zeros_like(order).scatter(0, order, order[following])
    return partner, taking & (number > 1)


def _own_draw(anchor: Bool[Tensor, "B W"]) -> Int[Tensor, " B"]:
    return len(anchor) + torch.arange(len(anchor), device=anchor.device)


VARIANTS: Final[Mapping[str, Variant]] = {
    "none": Variant(),
    "cross_session": Variant(change=cross_session, draws="keys"),
    "cross_session_anchors": Variant(change=kept_by_cross_session, draws="keys"),
    "random_negatives": Variant(change=random_negatives, draws="tracks"),
    "inverted": Variant(inverted=True),
    "align_only": Variant(form=align),
    "random_positive": Variant(change=random_positive, draws="tracks"),
    "all_anchors": Variant(Rules(all_anchors=True)),
    "positive_not_in_denominator": Variant(form=negatives_alone),
    "listened_negatives": Variant(Rules(listened_negatives=True)),
}
"""The variants by name; none is the correct term."""
