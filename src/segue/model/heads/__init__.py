"""What is trained on top of an encoder's states. To add a head: a file, a line in `HEADS`, a conformance case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.model.heads.copying import CopyConfig, CopyHead, CopyWeights
from segue.model.heads.head import Added, Head, Predicted
from segue.model.heads.listen import ListenConfig, ListenHead, ListenQuery, ListenWeights
from segue.model.heads.neighbours import NeighboursConfig, NeighboursHead, NeighboursWeights
from segue.model.heads.own_listens import OwnListens
from segue.model.heads.repeats import RepeatsConfig, RepeatsHead, RepeatsWeights
from segue.model.heads.transitions import MixtureWeights, TransitionsConfig, TransitionsHead
from segue.store import Store

Side = dict[str, SideData]

HEADS: Final[Mapping[str, type[Head]]] = {
    "copy": CopyHead,
    "transitions": TransitionsHead,
    "neighbours": NeighboursHead,
    "listen": ListenHead,
    "repeats": RepeatsHead,
}
"""Heads by the name of their section `[heads.NAME]`, in the order in which they are built."""


def load_heads(configs: Mapping[str, Any], store: Store, split: Split, device: torch.device | str) -> Side:
    """Return what the heads `configs` read of the sessions of `store`, by name."""
    sides = {name: HEADS[name].load(config, store, split, device) for name, config in configs.items()}
    return {name: side for name, side in sides.items() if side is not None}


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
    "OwnListens",
    "Predicted",
    "RepeatsConfig",
    "RepeatsHead",
    "RepeatsWeights",
    "TransitionsConfig",
    "TransitionsHead",
    "load_heads",
]
