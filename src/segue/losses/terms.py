"""`[[terms]]` of a recipe: the skip-contrastive term, and its variants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.batches.data import SessionData
from segue.config import Config, Positive, nearest
from segue.losses.loss_inputs import LossInputs
from segue.objectives import skip_contrastive_loss
from segue.objectives.variants import VARIANTS, VariantDraws, varied_skip_loss


@dataclass(frozen=True)
class TermDraws:
    """Random numbers of a term for a batch; None where its variant needs none."""

    keys: Float[Tensor, " B"] | None = None
    """Uniform in [0, 1)."""
    tracks: Int[Tensor, "B W"] | None = None
    """Tracks drawn from the training rows, one for each position of a window."""

    def narrowed(self, width: int) -> TermDraws:
        """Return the draws for windows of `width` positions."""
        return self if self.tracks is None else replace(self, tracks=self.tracks[:, :width])


@dataclass(frozen=True)
class SkipContrastive(Config):
    """The skip-informed contrastive term (method, section 4)."""

    weight: Positive = 0.5
    """alpha, its share beside next_track's weight."""
    context: Literal["track", "session"] = "track"
    """What skips are pushed away from: the anchor's table row, or the state at the anchor."""
    temperature: Positive = 0.1
    """tau, what cosines are divided by."""
    variant: str = "none"
    """The term with one thing changed, to tell what its gain comes from; none = the term itself. Variants have the
    anchors of the term (inverted and all_anchors apart).
    cross_session: negatives of another session of the batch, less what is listened to in one's own; anchors left
    without any are dropped. cross_session_anchors: the term itself on the anchors that cross_session keeps, from the
    same draws. random_negatives: as many tracks, drawn from the training rows. inverted: listened and skipped swapped.
    align_only: -cos(positive, context) / tau. random_positive: a track drawn from the training rows.
    Of the paper's letter: all_anchors: skipped positions too, their own track none of their negatives.
    positive_not_in_denominator: the sum over the negatives alone. listened_negatives: skipped tracks that are listened
    to in the session as well stay negatives."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise ValueError(f"there is no variant {self.variant!r}{nearest(self.variant, VARIANTS)}")

    def draw(self, size: tuple[int, int], data: SessionData, generator: torch.Generator) -> TermDraws:
        """Return what the term draws for B windows of W positions, `size` = (B, W)."""
        draws = VARIANTS[self.variant].draws
        if draws == "keys":
            return TermDraws(torch.rand(size[0], generator=generator, device=data.tracks.device))
        return TermDraws(tracks=data.draw_plays(size, generator)) if draws == "tracks" else TermDraws()

    def mean_loss(
        self, inputs: LossInputs, draws: TermDraws, drawn_rows: Float[Tensor, "B W D"] | None
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch, over the original tracks of its training windows, scalar.

        `drawn_rows`: table rows of `draws.tracks`.
        """
        rows, heard = inputs.window_rows, inputs.heard
        assert rows is not None, "terms read them"
        context = rows if self.context == "track" else inputs.window_states
        if self.variant == "none":
            tracks, skipped, listened = heard.tracks, heard.skipped, heard.listened
            return skip_contrastive_loss(context, rows, tracks, skipped, listened, self.temperature)
        variant_draws = VariantDraws(draws.keys, drawn_rows)
        return varied_skip_loss(context, rows, heard, VARIANTS[self.variant], variant_draws, self.temperature)
