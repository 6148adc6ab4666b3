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

from segue.batches.context import SIZES
from segue.checkpoint.run_folder import RunFolder
from segue.encoders import build_encoder
from segue.encoders.context import ContextInputs
from segue.encoders.earlier import EarlierInputs
from segue.encoders.encoder import NUM_FEEDBACK, Encoder
from segue.encoders.features import FeaturesConfig, TrackFeatures
from segue.encoders.transformer import TransformerEncoder
from segue.errors import FormatError
from segue.heads import Counts, ListenHead, TransitionsHead, build_heads
from segue.recipes import Recipe
from segue.store import NUM_SPECIALS, Vocabulary
from segue.store.vocabulary import TextColumn, read_array

_FEATURES: Final = "features.values"


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
    generator = torch.Generator().manual_seed(0)  # every parameter is replaced below
    encoder = build_encoder(
        recipe.encoder, vocabulary.num_tracks, recipe.data.max_len, sparse=False, generator=generator
    )
    if recipe.data.context and isinstance(encoder, TransformerEncoder):
        names = recipe.data.context
        encoder.read(ContextInputs(names, [SIZES[name] for name in names], encoder.width))
    if recipe.data.earlier and isinstance(encoder, TransformerEncoder):
        encoder.remember(EarlierInputs(encoder.width, NUM_FEEDBACK))
    if recipe.features is not None and not (recipe.features.optional and _FEATURES not in weights):
        encoder.features = _features(recipe.features, encoder, weights)
    nothing = Counts.nothing(vocabulary.num_tracks + NUM_SPECIALS)
    encoder.heads.update(build_heads(recipe.heads, encoder.width, vocabulary.num_tracks, nothing, generator))
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise FormatError(f"{run.path}/best does not fit its config.toml ({error}); train again") from error
    transitions = dict(encoder.heads.items()).get("transitions")
    if isinstance(transitions, TransitionsHead):
        if not transitions.is_sound():
            raise FormatError(f"{run.path}/best holds transitions that no store gives; train again")
        transitions.settled = run.settled()
    listen = dict(encoder.heads.items()).get("listen")
    if isinstance(listen, ListenHead):
        listen.settled = run.settled_listen()
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
        listen_weight=run.listen_weight() if recipe.heads.listen is not None else 0.0,
    )


def _features(config: FeaturesConfig, encoder: Encoder, weights: Mapping[str, Tensor]) -> TrackFeatures:
    """Return features of the shape that the weights have; what they are is loaded with the rest."""
    held = weights.get(_FEATURES, torch.zeros(0, 0))
    num_rows = encoder.table.num_embeddings
    values = torch.zeros(num_rows, held.shape[1] if held.dim() == 2 else 0)
    return TrackFeatures(config, encoder.width, values, torch.zeros(num_rows, dtype=torch.bool))


def _text(folder: Path) -> TextColumn | None:
    return TextColumn.read(folder) if folder.is_dir() else None
