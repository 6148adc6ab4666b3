"""A finished or running run, ready to rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.errors import FormatError
from segue.model import Encoder, Facts, build_model
from segue.model.heads import Head
from segue.recipes import Recipe
from segue.runs.run_folder import RunFolder
from segue.store import NUM_SPECIALS, Vocabulary
from segue.store.vocabulary import TextColumn, read_array

OLDER_NAMES: Final[Mapping[str, str]] = {
    "feedback.": "inputs.feedback.",
    "context.": "inputs.context.",
    "features.": "inputs.features.",
}
"""Beginnings of the names of weights in runs of recipe version 1, and what they became."""


@dataclass(frozen=True)
class LoadedRun:
    """What a run holds for ranking: no store needed."""

    recipe: Recipe
    encoder: Encoder
    """With the best weights, on the CPU, in eval mode."""
    vocabulary: Vocabulary
    candidates: NDArray[np.int32]
    """Sorted table rows that may be ranked, int32 [C]."""
    training_counts: NDArray[np.int64]
    """Plays of each table row in training, int64 [V + 3]."""
    titles: TextColumn | None
    artists: TextColumn | None
    environment: dict[str, Any]
    best: dict[str, Any]
    """Epoch and validation metrics of the best weights."""
    listen_weight: float = 0.0
    """lambda, the weight of log P(listen) in the ranking that validation chose; 0 without that head."""


def load_run(path: str | Path) -> LoadedRun:
    """Return the run at `path` with its best weights.

    Raises:
        FormatError: no run, damaged, of another version, or without weights yet.
    """
    run = RunFolder.open(path)
    recipe = run.recipe()
    vocabulary = Vocabulary.read(run.path / "vocabulary")
    assert isinstance(vocabulary, Vocabulary)
    weights, best = run.weights("best")
    weights = renamed(weights)
    generator = torch.Generator().manual_seed(0)  # every parameter is replaced below
    facts = Facts.of_weights(vocabulary.num_tracks, weights, recipe.data.skip_at_least)
    encoder = build_model(recipe.model, facts, generator)
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise FormatError(f"{run.path}/best does not fit its config.toml ({error}); train again") from error
    for name, head in encoder.heads.items():
        assert isinstance(head, Head), "see build_model"
        if not head.check_weights():
            raise FormatError(f"{run.path}/best holds counts of the head {name!r} that no store gives; train again")
        if head.weights_type is not None:
            head.ranking_weights = run.ranking_weights(name, head.weights_type)
    counts = read_array(run.path / "training_counts.npy")
    if len(counts) != vocabulary.num_tracks + NUM_SPECIALS:
        raise FormatError(f"{run.path}/training_counts.npy does not fit the vocabulary; train again")
    candidates = read_array(run.path / "candidates.npy")
    inside = (candidates >= NUM_SPECIALS) & (candidates < len(counts))
    if candidates.dtype.kind != "i" or not inside.all() or np.any(np.diff(candidates) <= 0):
        raise FormatError(f"{run.path}/candidates.npy does not fit the vocabulary; train again")
    return LoadedRun(
        recipe=recipe,
        encoder=encoder.eval(),
        vocabulary=vocabulary,
        candidates=candidates,
        training_counts=counts,
        titles=_text(run.path / "tracks" / "title"),
        artists=_text(run.path / "tracks" / "artist"),
        environment=run.environment(),
        best=best,
        listen_weight=run.listen_weight() if "listen" in recipe.heads else 0.0,
    )


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a run of any version under the names of today."""
    result = {}
    for name, value in weights.items():
        new = next((new + name.removeprefix(old) for old, new in OLDER_NAMES.items() if name.startswith(old)), name)
        result[new] = value
    return result


def _text(folder: Path) -> TextColumn | None:
    return TextColumn.read(folder) if folder.is_dir() else None
