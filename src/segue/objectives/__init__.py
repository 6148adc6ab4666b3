"""Objectives: pure functions of tensors and boolean masks. They need torch alone, and can be lifted out of Segue."""

from segue.objectives.skip_contrastive import skip_contrastive_loss
from segue.objectives.softmax import LeftOut, Mixture, Negatives, full_softmax_loss, sampled_softmax_loss
from segue.objectives.weighted import combine

__all__ = [
    "LeftOut",
    "Mixture",
    "Negatives",
    "combine",
    "full_softmax_loss",
    "sampled_softmax_loss",
    "skip_contrastive_loss",
]
