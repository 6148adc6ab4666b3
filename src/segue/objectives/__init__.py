"""Objectives: pure functions of tensors and boolean masks. Torch only; importable alone."""

from segue.objectives.next_track import full_softmax_loss, sampled_softmax_loss
from segue.objectives.skip_contrastive import skip_contrastive_loss
from segue.objectives.weighted import combine

__all__ = ["combine", "full_softmax_loss", "sampled_softmax_loss", "skip_contrastive_loss"]
