"""The recipe's terms in training: what they draw, and what they are told of a batch, padded or packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from segue.batches.data import SessionData
from segue.batches.packed import Packing
from segue.batches.popularity import TrainingPopularity
from segue.objectives.contrast import negatives_alone
from segue.objectives.packed import Sessions, SkipTerm
from segue.objectives.roles import Rules
from segue.objectives.variants import ABLATIONS, CONTROLS, Variant, VariedSkipTerm
from segue.recipes import Recipe, SkipContrastive

TermDraws = Mapping[int, Tensor]
"""What the terms drew for a batch, by their place in the recipe: keys float [B], or tracks int64 [B, W]."""


def variant_of(term: SkipContrastive) -> Variant:
    """Return how a term's objective is made."""
    base = CONTROLS[term.anchors_of] if term.ablation == "none" else ABLATIONS[term.ablation]
    all_anchors = base.rules.all_anchors or term.anchors == "all"
    rules = Rules(term.listened_negatives, all_anchors)
    return replace(base, rules=rules, form=base.form if term.positive_in_denominator else negatives_alone)


class TermDrawing:
    """The draws of a recipe's terms, batch after batch."""

    def __init__(self, recipe: Recipe, data: SessionData, *, masked: bool) -> None:
        """`masked`: whether the encoder masks; its windows have no track more than it reads."""
        self._wants = [variant_of(term).wants for term in recipe.terms]
        self._width = recipe.data.max_len + (not masked)
        self._rows = TrainingPopularity.of(data) if "tracks" in self._wants else None
        self._device = data.tracks.device

    def draw(self, num_sessions: int, generator: torch.Generator) -> TermDraws:
        """Return the draws for a batch, term after term; they come after all else that the batch draws.

        Tracks have a column for each position that a window may have, however long the longest of the store is.
        """
        return {
            i: self._keys(num_sessions, generator) if wanted == "keys" else self._tracks(num_sessions, generator)
            for i, wanted in enumerate(self._wants)
            if wanted != "nothing"
        }

    def _keys(self, num_sessions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(num_sessions, generator=generator, device=self._device)

    def _tracks(self, num_sessions: int, generator: torch.Generator) -> Tensor:
        assert self._rows is not None, "made where a term wants tracks"
        return self._rows.draw((num_sessions, self._width), generator)


def objective_of(term: SkipContrastive, correct: SkipTerm) -> SkipTerm:
    """Return what makes a term of a packed step: `correct` where nothing is made otherwise."""
    return correct if term.is_correct else VariedSkipTerm(variant_of(term))


def drawn_tracks(drawn: TermDraws) -> list[Tensor]:
    """Return the tracks that terms drew, flat: they are among the rows that a step touches."""
    return [values.flatten() for values in drawn.values() if not values.is_floating_point()]


def packed_terms(recipe: Recipe, packing: Packing, drawn: TermDraws) -> tuple[Packing, list[Sessions]]:
    """Return the packing with the drawn tracks after its own rows, and what each term is told of the batch."""
    ids, told = packing.ids, []
    place, skip_at_least = packing.place, recipe.data.skip_at_least
    plain = Sessions(place, packing.tracks, packing.strength, skip_at_least)
    for i in range(len(recipe.terms)):
        sessions, values = plain, drawn.get(i)
        if values is not None and values.is_floating_point():
            sessions = replace(sessions, keys=values)
        elif values is not None:
            tracks = values[:, : place.shape[1]].int()
            lying = len(ids) + torch.arange(tracks.numel(), device=ids.device)
            sessions = replace(sessions, drawn=lying.view(tracks.shape))
            ids = torch.cat([ids, tracks.flatten()])
        told.append(sessions)
    return replace(packing, ids=ids), told
