"""Which tracks are targets, where not every next one is."""

from __future__ import annotations

from dataclasses import replace

from segue import skips
from segue.batches.data import Window
from segue.batches.example import Example
from segue.batches.next_track import TargetRule
from segue.batches.packed import Packing
from segue.objectives.roles import next_listened


def ruled(example: Example, window: Window, rule: TargetRule, skip_at_least: int) -> Example:
    """Return the example with the targets of `rule`; see `NextTrackConfig.targets`. A target of its own has one row.

    `next_listened` is for causal examples, whose position i stands at position i of the window.
    """
    if rule == "next":
        return example
    if rule == "listened":
        return replace(example, targets=example.targets & ~skips.skipped(example.target_feedback, skip_at_least))
    inputs = example.targets.shape[1]
    place, exists = next_listened(skips.listened(window.strength, skip_at_least) & window.valid)
    target, feedback = window.tracks.gather(1, place), window.strength.gather(1, place)
    targets = exists[:, :inputs] & example.targets
    return replace(example, target=target[:, :inputs], targets=targets, target_feedback=feedback[:, :inputs])


def without_skipped(packing: Packing, skip_at_least: int) -> Packing:
    """Return the packing whose skipped targets are none: the rule `listened`."""
    kept = ~skips.skipped(packing.target_feedback, skip_at_least)
    return replace(packing, target=packing.target * kept, target_place=packing.target_place * kept)
