"""`[[terms]]` of a recipe: the skip-contrastive term, its ablations, and the paper's letter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.batches.popularity import TrainingPopularity
from segue.losses.scene import Scene
from segue.objectives import skip_contrastive_loss
from segue.objectives.roles import Rules
from segue.objectives.skip_contrastive import negatives_alone
from segue.objectives.variants import ABLATIONS, CONTROLS, Variant, VariantDraws, varied_skip_loss

Ablation = Literal[
    "none",
    "cross_session",
    "random_negatives",
    "inverted",
    "align_only",
    "random_positive",
    "all_anchors",
    "positive_not_in_denominator",
]
_WITHOUT_DENOMINATOR: Final = ("align_only", "positive_not_in_denominator")


@dataclass(frozen=True)
class TermDraws:
    """What a term draws for a batch, as far as it draws."""

    keys: Float[Tensor, " B"] | None = None
    """Uniform in [0, 1)."""
    tracks: Int[Tensor, "B W"] | None = None
    """Tracks drawn from the training rows, one for each position of a window."""

    def narrowed(self, width: int) -> TermDraws:
        """Return the draws for windows of `width` positions."""
        return self if self.tracks is None else replace(self, tracks=self.tracks[:, :width])


@dataclass(frozen=True)
class SkipContrastive:
    """The skip-informed contrastive term (method, section 4).

    All that follows `temperature` makes it otherwise, to tell what its gain comes from; the defaults are the correct
    term. Ablations take exactly the anchors of the correct term (`inverted` and `all_anchors` apart).
    """

    weight: float = 0.5
    """alpha, its share beside next_track's weight."""
    context: Literal["track", "session"] = "track"
    """What skips are pushed away from: the anchor's table row, or the state at the anchor."""
    temperature: float = 0.1
    """tau, what cosines are divided by."""
    ablation: Ablation = "none"
    """cross_session: negatives of another session of the batch, less what is listened to in one's own; anchors left
    without any are dropped. random_negatives: as many tracks, drawn from the training rows. inverted: listened and
    skipped swapped. align_only: -cos(positive, context) / tau. random_positive: a track drawn from the training rows.
    all_anchors: skipped positions too, their own track none of their negatives. positive_not_in_denominator."""
    anchors_of: Literal["none", "cross_session"] = "none"
    """cross_session: the correct term on the anchors that the ablation would keep, from the same draws: its control."""
    listened_negatives: bool = False
    """Skipped tracks that are listened to in the session as well stay negatives (the paper's letter)."""
    anchors: Literal["listened", "all"] = "listened"
    """all: skipped positions too (the paper's letter), as the ablation all_anchors."""
    positive_in_denominator: bool = True
    """false: the sum over the negatives alone (the paper's letter), as positive_not_in_denominator."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError("weight must be above 0 (leave the term out instead)")
        if not self.temperature > 0:
            raise ValueError("temperature must be above 0")
        self._check_combination()

    def _check_combination(self) -> None:
        if self.anchors_of != "none" and self.ablation != "none":
            raise ValueError(
                f"anchors_of is for the correct term, the control of an ablation: ablation must be 'none', not "
                f"{self.ablation!r}"
            )
        if self.anchors == "all" and (self.ablation != "none" or self.anchors_of != "none"):
            raise ValueError(
                "anchors = 'all' goes with ablation = 'none' and anchors_of = 'none': the arms of an ablation share "
                "the anchors of the correct term"
            )
        if not self.positive_in_denominator and self.ablation in _WITHOUT_DENOMINATOR:
            raise ValueError(
                f"positive_in_denominator = false and ablation = {self.ablation!r} both decide the denominator: "
                "name one of them"
            )

    @property
    def is_correct(self) -> bool:
        """Whether nothing is made otherwise."""
        return self == SkipContrastive(self.weight, self.context, self.temperature)

    @property
    def variant(self) -> Variant:
        """How the objective is made."""
        variant = CONTROLS[self.anchors_of] if self.ablation == "none" else ABLATIONS[self.ablation]
        rules = Rules(self.listened_negatives, variant.rules.all_anchors or self.anchors == "all")
        form = variant.form if self.positive_in_denominator else negatives_alone
        return replace(variant, rules=rules, form=form)

    def draw(self, size: tuple[int, int], popularity: TrainingPopularity, generator: torch.Generator) -> TermDraws:
        """Return what the term draws for B windows of W positions, `size` = (B, W)."""
        draws = self.variant.draws
        if draws == "keys":
            return TermDraws(torch.rand(size[0], generator=generator, device=popularity.tracks.device))
        return TermDraws(tracks=popularity.draw(size, generator)) if draws == "tracks" else TermDraws()

    def mean_loss(self, scene: Scene, draws: TermDraws, drawn_rows: Float[Tensor, "B W D"] | None) -> Float[Tensor, ""]:
        """Return the loss of a batch, over the original tracks of its training windows, scalar.

        `drawn_rows`: table rows of `draws.tracks`.
        """
        rows, heard = scene.window_rows, scene.heard
        assert rows is not None, "terms read them"
        context = rows if self.context == "track" else scene.window_states
        if self.is_correct:
            tracks, skipped, listened = heard.tracks, heard.skipped, heard.listened
            return skip_contrastive_loss(context, rows, tracks, skipped, listened, self.temperature)
        variant_draws = VariantDraws(draws.keys, drawn_rows)
        return varied_skip_loss(context, rows, heard, self.variant, variant_draws, self.temperature)
