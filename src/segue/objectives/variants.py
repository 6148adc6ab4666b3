"""The skip-contrastive term made otherwise, one thing at a time: to tell what its gain comes from (never a default).

The random numbers are a caller's. Source of all: the term of Seshadri & Knees 2023 (arXiv 2309.11623), section 3.4; the
ablations are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from segue.objectives.contrast import Form, align, contrastive_loss, info_nce, negatives_alone, pooled
from segue.objectives.roles import AS_CORRECT, Heard, Roles, Rules, roles
from segue.objectives.shapes import Bool, Float, Int


@dataclass(frozen=True)
class VariantDraws:
    """Random numbers of one batch, as far as a variant wants them."""

    keys: Float[Tensor, " B"] | None = None
    """Uniform in [0, 1), one a session: they order the sessions."""
    rows: Float[Tensor, "B W D"] | None = None
    """Rows of tracks drawn from the training popularity, one a position."""


Change = Callable[[Roles, Heard, VariantDraws], Roles]
"""Roles made of those of the correct term."""


@dataclass(frozen=True)
class Variant:
    """One way to make the term; the defaults are the correct one."""

    rules: Rules = AS_CORRECT
    inverted: bool = False
    """Listened and skipped swapped, before anything else is looked at."""
    change: Change | None = None
    form: Form = info_nce
    draws: Literal["nothing", "keys", "tracks"] = "nothing"
    """What is drawn for it."""


def varied_skip_loss(
    context: Float[Tensor, "B W D"],
    rows: Float[Tensor, "B W D"],
    heard: Heard,
    variant: Variant,
    draws: VariantDraws,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the mean loss of the anchors of a variant of `segue.objectives.skip_contrastive_loss`, scalar.

    Args:
        context: c at each position: the track rows themselves ('track') or encoder states ('session').
        rows: the row of each position's track; padding rows may be zero.
        heard: how each position was heard.
        variant: what is made otherwise.
        drawn: the random numbers that it wants.
        temperature: tau > 0.

    Denominator and empty case as in `segue.objectives.contrast.contrastive_loss`.
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

    The other session is that of `derangement` among sessions with negatives. Those of its tracks that are listened to
    in one's own session are taken out (a track that both skipped stays); anchors for which nothing is left are dropped.
    """
    assert draws.keys is not None, "a derangement wants keys"
    assert correct.negative.shape[1] == 1, "all anchors of a session have the same negatives"
    partner, exists = derangement(draws.keys, correct.negative.any(dim=2)[:, 0])
    theirs, listened_tracks = heard.tracks[partner], heard.tracks.masked_fill(~heard.listened, 0)
    listened_here = (theirs[:, :, None] == listened_tracks[:, None, :]).any(dim=2)
    still_negative = correct.negative[partner, 0] & ~listened_here & exists[:, None]
    negative = torch.cat([torch.zeros_like(still_negative), still_negative], dim=1)[:, None]
    return Roles(correct.anchor & still_negative.any(dim=1, keepdim=True), correct.positive, negative, partner)


def kept_by_cross_session(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the roles without the anchors that `cross_session` drops: the arm that it is compared with."""
    return replace(correct, anchor=cross_session(correct, heard, draws).anchor)


def random_negatives(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the same anchors with as many drawn tracks in the place of the negatives, the same for a session.

    A drawn track may be one of the session's own: a draw from the popularity is what it says.
    """
    negative = torch.cat([torch.zeros_like(correct.negative), correct.negative], dim=2)
    return replace(correct, negative=negative, beside=_own_draw(correct.anchor))


def random_positive(correct: Roles, heard: Heard, draws: VariantDraws) -> Roles:
    """Return the same anchors and negatives with a drawn track for each anchor's positive, whatever it is."""
    width = correct.anchor.shape[1]
    draw_index = (width + torch.arange(width, device=correct.anchor.device)).expand_as(correct.positive)
    negative = torch.cat([correct.negative, torch.zeros_like(correct.negative)], dim=2)
    return replace(correct, positive=draw_index, negative=negative, beside=_own_draw(correct.anchor))


def derangement(keys: Float[Tensor, " B"], taking: Bool[Tensor, " B"]) -> tuple[Int[Tensor, " B"], Bool[Tensor, " B"]]:
    """Return another session for each session that takes part, and which sessions have one.

    One random cycle through all that take part: each is the partner of exactly one other, never of itself. (Uniform
    among cycles, so not among all derangements.) The others, and one that takes part alone, are their own and have
    none. Nothing of it waits for the host.
    """
    order = keys.masked_fill(~taking, torch.inf).argsort(stable=True)  # those that take part first
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
