"""The simulated catalogue: genres, tempo, artists, popularity, and features that explain little of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.simulation import calibration

ROOTS: Final = 8
LEAVES: Final = 64
"""Leaves of the genre tree; leaf // 8 is its root."""
TEMPO_BANDS: Final = 8
TRACKS_PER_ARTIST: Final = 12
TRACK_EFFECT_SD: Final = 0.45
"""Standard deviation of the tracks' log-odds of being listened to; fitted to `calibration.TRACK_SKIP_RATE_MASS`."""
POPULARITY_EFFECT: Final = 0.042
"""Slope of those log-odds in log rank: popular tracks are skipped slightly more (per play .517, per track .50)."""
NUM_DESCRIPTORS: Final = 18
NUM_ACOUSTIC: Final = 8
FEATURE_NOISE: Final = 3.2
"""Noise of a feature in standard deviations of its signal: features explain well under 30 % of the latent variance."""


@dataclass(frozen=True)
class Catalogue:
    """T tracks; index 0 is the most popular one."""

    weight: NDArray[np.float64]
    """Share of plays, decreasing with the index."""
    leaf: NDArray[np.int64]
    tempo: NDArray[np.int64]
    artist: NDArray[np.int64]
    effect: NDArray[np.float64]
    """Log-odds of being listened to."""
    successor: NDArray[np.int64]
    """The track that follows in its album or playlist: of the same leaf, about as popular."""
    by_leaf: NDArray[np.int64]
    """Tracks ordered by leaf, then popularity."""
    leaf_begin: NDArray[np.int64]
    """First index of each leaf in `by_leaf`, and T last."""
    duration: NDArray[np.float32]
    year: NDArray[np.int64]
    features: NDArray[np.float32]
    """[T, 26]: descriptors, then acoustic vector."""
    explained: float
    """Share of the variance of the latents (genre, tempo, effect) that the features explain linearly."""


def covered(share_of_tracks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of plays that the top `share_of_tracks` of a catalogue covers, interpolated in log rank."""
    points: list[tuple[float, float]] = [(calibration.NUM_TRACKS, 1.0)]
    points += [(rank, share) for share, rank in calibration.PLAYS_COVERED_BY_TOP]
    points += [(0.02, 0.0)]
    rank, share = np.array(sorted(points)).T
    logs = np.log(np.maximum(share_of_tracks, 1e-300) * calibration.NUM_TRACKS)
    return np.where(share_of_tracks > 0, np.interp(logs, np.log(rank), share), 0.0)


def scaled_weight(num_tracks: int) -> NDArray[np.float64]:
    """Return the share of plays of each track of a catalogue scaled from the aggregates, decreasing."""
    weight = np.diff(covered(np.arange(num_tracks + 1) / num_tracks))
    return np.sort(weight / weight.sum())[::-1].copy()


def make_catalogue(num_tracks: int, generator: np.random.Generator) -> Catalogue:
    """Return a catalogue whose popularity follows the aggregates at scaled ranks."""
    weight = scaled_weight(num_tracks)
    leaf = generator.integers(0, LEAVES, num_tracks)
    leaf[:LEAVES] = generator.permutation(LEAVES)  # no leaf is empty
    by_leaf = np.lexsort((np.arange(num_tracks), leaf))
    leaf_begin = np.searchsorted(leaf[by_leaf], np.arange(LEAVES + 1))
    tempo = (leaf * 5 // LEAVES + generator.integers(0, 4, num_tracks)) % TEMPO_BANDS
    effect = _effects(weight, generator)
    features, explained = _features(leaf, tempo, effect, generator)
    return Catalogue(
        weight=weight,
        leaf=leaf,
        tempo=tempo,
        artist=_artists(by_leaf, num_tracks),
        effect=effect,
        successor=_successors(by_leaf, leaf_begin),
        by_leaf=by_leaf,
        leaf_begin=leaf_begin,
        duration=generator.lognormal(np.log(205.0), 0.28, num_tracks).clip(30, 1800).astype(np.float32),
        year=(2019 - generator.exponential(9.0, num_tracks)).astype(np.int64).clip(1950, 2018),
        features=features,
        explained=explained,
    )


def _effects(weight: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the tracks' log-odds of being listened to: noise and a slope of popularity.

    A few tracks have a quarter of all plays. The noise is made orthogonal to the plays; otherwise the noise of those
    few would shift the rate per play away from the rate per track.
    """
    noise = generator.normal(0.0, TRACK_EFFECT_SD, len(weight))
    noise -= weight * (noise @ weight) / (weight @ weight)
    return noise + POPULARITY_EFFECT * np.log((np.arange(len(weight)) + 1) / len(weight))


def _artists(by_leaf: NDArray[np.int64], num_tracks: int) -> NDArray[np.int64]:
    """Return the artist of each track; an artist has tracks of one leaf, adjacent in popularity."""
    artist = np.empty(num_tracks, dtype=np.int64)
    num_artists = max(1, num_tracks // TRACKS_PER_ARTIST)
    artist[by_leaf] = (np.arange(num_tracks) // TRACKS_PER_ARTIST).clip(max=num_artists - 1)
    return artist


def _successors(by_leaf: NDArray[np.int64], leaf_begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the next track of the same leaf by popularity; the first follows the last."""
    follows = np.roll(by_leaf, -1)
    ends = leaf_begin[1:][np.diff(leaf_begin) > 0] - 1
    firsts = leaf_begin[:-1][np.diff(leaf_begin) > 0]
    follows[ends] = by_leaf[firsts]
    successor = np.empty_like(by_leaf)
    successor[by_leaf] = follows
    return successor


def _features(
    leaf: NDArray[np.int64], tempo: NDArray[np.int64], effect: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Return noisy features [T, 26] and the share of the latents' variance that they explain linearly."""
    places = generator.normal(size=(LEAVES, 6))
    latent = np.concatenate([places[leaf], (tempo[:, None] - 3.5) / 2.3, effect[:, None] / TRACK_EFFECT_SD], axis=1)
    mixing = generator.normal(size=(latent.shape[1], NUM_DESCRIPTORS + NUM_ACOUSTIC)) / np.sqrt(latent.shape[1])
    features = latent @ mixing
    features += generator.normal(0.0, FEATURE_NOISE * features.std(), features.shape)
    return features.astype(np.float32), _explained(latent[:200_000], features[:200_000])


def _explained(latent: NDArray[np.float64], features: NDArray[np.float64]) -> float:
    """Return 1 - residual variance / variance of `latent` regressed on `features`."""
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    fitted = design @ np.linalg.lstsq(design, latent, rcond=None)[0]
    return float(1 - ((latent - fitted) ** 2).sum() / ((latent - latent.mean(axis=0)) ** 2).sum())
