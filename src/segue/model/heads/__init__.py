"""What is trained on top of an encoder's states. To add a head: a file, a line in `HEADS`, a conformance case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segue.model.heads.copying import CopyConfig, CopyHead, CopyWeights
from segue.model.heads.head import Added, Head, Predicted
from segue.model.heads.listen import ListenConfig, ListenHead, ListenQuery, ListenWeights
from segue.model.heads.neighbours import NeighboursConfig, NeighboursHead, NeighboursWeights
from segue.model.heads.transitions import MixtureWeights, TransitionsConfig, TransitionsHead

HEADS: Final[Mapping[str, type[Head]]] = {
    "copy": CopyHead,
    "transitions": TransitionsHead,
    "neighbours": NeighboursHead,
    "listen": ListenHead,
}
"""Heads by the name of their section `[heads.NAME]`, in the order in which they are built."""

__all__ = [
    "HEADS",
    "Added",
    "CopyConfig",
    "CopyHead",
    "CopyWeights",
    "Head",
    "ListenConfig",
    "ListenHead",
    "ListenQuery",
    "ListenWeights",
    "MixtureWeights",
    "NeighboursConfig",
    "NeighboursHead",
    "NeighboursWeights",
    "Predicted",
    "TransitionsConfig",
    "TransitionsHead",
]
