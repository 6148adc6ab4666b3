"""Which tracks are targets, where not every next one is."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from segue.axes import Bool, Int
from segue.batches.data import Window
from segue.batches.example import Example
from segue.batches.next_track import TargetRule
from segue.batches.packed import Packing
from segue.events import skips


def ruled(example: Example, window: Window, rule: TargetRule, skip_at_least: int) -> Example:
    """Return the example with the targets of `rule`; see `NextTrackConfig.targets`. A target of its own has one row.

    `next_listened` is for causal examples, whose position i stands at position i of the window.
    """
    if rule == "next":
        return example
    if rule == "listened":
        return replace(example, targets=example.targets & ~skips.skipped(example.target_feedback, skip_at_least))
    inputs = example.targets.shape[1]
    place, exists = following(skips.listened(window.strength, skip_at_least) & window.valid)
    target, feedback = window.tracks.gather(1, place), window.strength.gather(1, place)
    targets = exists[:, :inputs] & example.targets
    return replace(example, target=target[:, :inputs], targets=targets, target_feedback=feedback[:, :inputs])


def without_skipped(packing: Packing, skip_at_least: int) -> Packing:
    """Return the packing whose skipped targets are none: the rule `listened`."""
    kept = ~skips.skipped(packing.target_feedback, skip_at_least)
    return replace(packing, target=packing.target * kept, target_place=packing.target_place * kept)


def following(chosen: Bool[Tensor, "B W"]) -> tuple[Int[Tensor, "B W"], Bool[Tensor, "B W"]]:
    """Return the next chosen position after each (0 where there is none), and whether there is one."""
    width = chosen.shape[1]
    places = torch.arange(width, device=chosen.device).masked_fill(~chosen, width)
    at_or_after = places.flip(1).cummin(dim=1).values.flip(1)
    after = torch.nn.functional.pad(at_or_after[:, 1:], (0, 1), value=width)
    return after.masked_fill(after >= width, 0), after < width
