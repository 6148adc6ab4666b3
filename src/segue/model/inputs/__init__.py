"""What an encoder may read beside tracks. To add an input: a file, a line in `INPUTS`, a case of its conformance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.model.inputs.context import ContextInput
from segue.model.inputs.features import FeaturesInput
from segue.model.inputs.feedback_codes import FeedbackInput
from segue.model.inputs.input import Input, TrackValues
from segue.store import Store

INPUTS: Final[Mapping[str, type[Input]]] = {
    "feedback": FeedbackInput,
    "context": ContextInput,
    "features": FeaturesInput,
}
"""Inputs by the name of their section `[inputs.NAME]`, in the order in which they are built."""


def load_side(
    configs: Mapping[str, Any], store: Store, split: Split, device: torch.device | str
) -> dict[str, SideData]:
    """Return what the inputs `configs` read of `store`, by name; inputs of tracks and feedback alone have no entry.

    Raises:
        InputError: the store lacks what an input reads.
    """
    values = {name: INPUTS[name].load(config, store, split, device) for name, config in configs.items()}
    return {name: side for name, side in values.items() if side is not None}


def check_inputs(configs: Mapping[str, Any], store: Store) -> None:
    """Refuse a store that lacks what an input of `configs` reads (InputError)."""
    for name, config in configs.items():
        INPUTS[name].check_store(config, store)


__all__ = ["INPUTS", "Input", "TrackValues", "check_inputs", "load_side"]
