"""The features of a store's track table, made ready for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.store import NUM_SPECIALS, Store


def track_features(store: Store) -> NDArray[np.float32] | None:
    """Return the standardised features of each table row, float32 [V + 3, F]; None where the store has none.

    Each feature has mean 0 and spread 1 over the tracks that have it (0 spread: all 0); a missing one is 0.
    """
    raw = store.track_array("features")
    if raw is None:
        return None
    mean, spread = feature_scale(raw)
    rows = np.zeros((len(raw) + NUM_SPECIALS, raw.shape[1]), np.float32)
    rows[NUM_SPECIALS:] = standardised(raw, mean, spread)
    return rows


def feature_scale(raw: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the spread of each feature over the tracks that have it; 0 and 1 where none has."""
    is_known = np.isfinite(raw)
    count = np.maximum(is_known.sum(axis=0), 1)
    values = np.where(is_known, raw, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(is_known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 0, spread, 1.0)


def feature_facts(names: Sequence[str], raw: NDArray[np.float32]) -> dict[str, Any]:
    """Return what standardises the features of tracks that come later: names, mean and spread, a JSON document."""
    mean, spread = feature_scale(raw)
    return {"names": list(names), "mean": mean.tolist(), "spread": spread.tolist()}


def standardised(
    raw: NDArray[np.float32], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return (raw - mean) / spread, 0 where it is missing."""
    return np.where(np.isfinite(raw), (raw - mean) / spread, 0.0).astype(np.float32)


def has_features(store: Store) -> NDArray[np.bool_]:
    """Return which table rows have a feature, [V + 3]."""
    raw = store.track_array("features")
    has_feature = np.zeros(store.num_tracks + NUM_SPECIALS, np.bool_)
    if raw is not None:
        has_feature[NUM_SPECIALS:] = np.isfinite(raw).any(axis=1)
    return has_feature
