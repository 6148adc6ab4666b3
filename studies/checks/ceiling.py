"""What can be known of whether they will listen? The ceiling of pair AUC given a session's history (simulated data).

`python studies/checks/ceiling.py STORE [--sessions 20000]` prints, over the sessions of a simulated store whose two
held-out tracks differ in feedback, the pair AUC of

- the track's smoothed listen rate in training (a0),
- P(listen | history, track) by Bayes with the simulator's own catalogue and constants, the listener's traits unknown
  (a*),
- the same by Bayes that knows genre and tempo of every track, but of a track's own appeal only its smoothed listen rate
  in training, as a model does ("counts"),
- the truth, P(listen) with the listener's traits known (the latent oracle),

each from before both tracks. The listener's home genre, tempo and type are summed out, 2,560 combinations weighed by
what was played and skipped. One approximation: a track that repeats the one before the last tells nothing of the genre
that the session is in.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.split import DataConfig, split_store
from segue.simulation.catalogue import LEAVES, TEMPO_BANDS, Catalogue, make_catalogue
from segue.simulation.config import SimulationConfig
from segue.simulation.listening import (
    CONTEXT_EFFECT,
    DRIFT,
    LONGEST,
    MOVE,
    TASTE_EFFECT,
    TEMPO_EFFECT,
    TYPE_SHARES,
    TYPES,
    context_names,
    find_intercept,
)
from segue.simulation.log import _ids
from segue.store import NUM_SPECIALS, Store

Array = NDArray[np.float64]
CHUNK = 250


class Listener:
    """What a history says of a listener: the weight of each home, tempo and type, [N, 64, 8, 5]."""

    def __init__(self, catalogue: Catalogue, intercept: float) -> None:
        self.catalogue, self.intercept = catalogue, intercept
        mass = np.add.reduceat(catalogue.weight[catalogue.by_leaf], catalogue.leaf_begin[:-1])
        self.mass = mass / mass.sum()
        homes = np.arange(LEAVES)
        far = (homes[:, None] != homes).astype(int) + (homes[:, None] // 8 != homes // 8)
        self.taste = np.array(TASTE_EFFECT)[far]  # [leaf of the track, home]
        bands = np.arange(TEMPO_BANDS)
        self.tempo = np.array(TEMPO_EFFECT)[np.abs(bands[:, None] - bands).clip(max=2)]
        self.first, self.last = np.array(TYPES).T
        effects = [CONTEXT_EFFECT.get(name, 0.0) for name in context_names()]
        self.context = np.array(effects)

    def p_listen(self, track: NDArray[np.int64], position: NDArray[np.int64], context: NDArray[np.int64]) -> Array:
        """Return P(listen) of `track` [N] for every home, tempo and type."""
        catalogue = self.catalogue
        own = catalogue.effect[track] + self.context[context] + self.intercept
        kind = self.first + (self.last - self.first) * position[:, None] / (LONGEST - 1)
        odds = (
            own[:, None, None, None]
            + self.taste[catalogue.leaf[track]][:, :, None, None]
            + self.tempo[catalogue.tempo[track]][:, None, :, None]
            + kind[:, None, None, :]
        )
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def weights(
        self, track: NDArray[np.int64], skipped: NDArray[np.bool_], length: NDArray[np.int64], context: Any
    ) -> Array:
        """Return the posterior of home, tempo and type after the first `length` tracks of each session."""
        prior = self.mass[:, None, None] * np.array(TYPE_SHARES)[None, None, :] / TEMPO_BANDS
        log = np.broadcast_to(np.log(prior), (len(track), LEAVES, TEMPO_BANDS, len(TYPES))).copy()
        leaf = self.catalogue.leaf[track[:, 0]]
        log += np.log(0.6 * np.eye(LEAVES)[leaf] + 0.4 * self.mass[leaf][:, None])[:, :, None, None]
        for place in range(int(length.max())):
            inside = place < length
            p = self.p_listen(track[:, place], np.full(len(track), place), context)
            seen = np.where(skipped[:, place, None, None, None], 1 - p, p)
            log += np.log(seen) * inside[:, None, None, None]
            if place == 0:
                continue
            repeats = (place >= 2) & (track[:, place] == track[:, max(place - 2, 0)])
            following = self.catalogue.leaf[track[:, place]]
            chance = np.where(skipped[:, place - 1], MOVE, DRIFT)[:, None]
            towards = 0.5 * np.eye(LEAVES)[following] + 0.5 * self.mass[following][:, None]
            moved = np.log((1 - chance) * (following == leaf)[:, None] + chance * towards)
            log += np.where((inside & ~repeats)[:, None], moved, 0.0)[:, :, None, None]
            leaf = np.where(repeats, leaf, following)
        log -= log.max(axis=(1, 2, 3), keepdims=True)
        weights = np.exp(log)
        return np.asarray(weights / weights.sum(axis=(1, 2, 3), keepdims=True))


def pair_auc(scores: Array, heard: NDArray[np.bool_]) -> float:
    """Return the mean of the AUC of listened-first and of skipped-first pairs, ties 1/2; scores [N, 2]."""
    apart = scores[:, 0] - scores[:, 1]
    better = (apart > 0) + 0.5 * (apart == 0)
    return float((better[heard].mean() + (1 - better)[~heard].mean()) / 2)


def simulated_config(store: Store) -> SimulationConfig:
    """Return what a simulated store was made of."""
    simulated = store.manifest.source.simulated
    return SimulationConfig(**{name: simulated[name] for name in ("sessions", "tracks", "seed", "world")})


def catalogue_places(store: Store, config: SimulationConfig) -> NDArray[np.int64]:
    """Return the place in the catalogue of each table row: the store's tracks are those that were heard, by id."""
    ids = {text.decode(): place for place, text in enumerate(_ids(b"t_", config.seed * 2, config.tracks).tolist())}
    rows = range(NUM_SPECIALS, store.num_tracks + NUM_SPECIALS)
    return np.array([0] * NUM_SPECIALS + [ids[store.vocabulary.track_id(row)] for row in rows])


def main() -> int:
    """Print the three areas, and the target of the issue."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--sessions", type=int, default=20_000, help="sessions looked at, at most")
    given = parser.parse_args()
    store = Store(given.store)
    simulated = store.manifest.source.simulated
    config = simulated_config(store)
    if config.world != "full":
        parser.error("the ceiling is that of world full")
    catalogue = make_catalogue(config.tracks, np.random.default_rng([config.seed, 0]))
    listener = Listener(catalogue, find_intercept(config, catalogue))
    of_row = catalogue_places(store, config)
    strength, offsets = np.asarray(store.strength), np.asarray(store.offsets)
    skipped, listened = skips.skipped(strength), skips.listened(strength)
    second = offsets[1:] - 1
    differ = (listened[second - 1] & skipped[second]) | (skipped[second - 1] & listened[second])
    chosen = np.flatnonzero(differ & (np.diff(offsets) >= 4))
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[: given.sessions])
    split = split_store(store, DataConfig())
    rows = split.training_rows
    known = listened[rows] | skipped[rows]
    tracks = np.asarray(store.tracks)
    size = store.num_tracks + NUM_SPECIALS
    plays = np.bincount(tracks[rows][known], minlength=size)
    rate = (np.bincount(tracks[rows][listened[rows]], minlength=size) + 2.5) / (plays + 5.0)
    appeal = np.zeros(config.tracks)
    appeal[of_row[NUM_SPECIALS:]] = (np.log(rate) - np.log1p(-rate))[NUM_SPECIALS:]
    share = float(listened[rows].sum()) / max(int(known.sum()), 1)
    appeal[of_row[NUM_SPECIALS:]] -= np.log(share) - np.log1p(-share)
    counting = Listener(replace(catalogue, effect=appeal), listener.intercept)
    scores = {"track-rate": [], "counts": [], "ceiling": [], "truth": []}  # type: dict[str, list[Array]]
    heard = listened[second[chosen] - 1]
    context = np.asarray(store.side(columns.CONTEXT_TYPE))
    common = np.asarray(store.side(columns.ORACLE_P_LISTEN_COMMON))
    for begin in range(0, len(chosen), CHUNK):
        some = chosen[begin : begin + CHUNK]
        length = np.diff(offsets)[some] - 2
        place = np.minimum(offsets[some][:, None] + np.arange(LONGEST), len(tracks) - 1)
        played, both = of_row[tracks[place]], np.stack([second[some] - 1, second[some]], axis=1)
        for name, knows in (("ceiling", listener), ("counts", counting)):
            weights = knows.weights(played, skipped[place], length, context[offsets[some]].astype(np.int64))
            asked = [
                (knows.p_listen(of_row[tracks[both[:, i]]], length, context[offsets[some]]) * weights).sum(
                    axis=(1, 2, 3)
                )
                for i in range(2)
            ]
            scores[name].append(np.stack(asked, axis=1))
        scores["track-rate"].append(rate[tracks[both]])
        scores["truth"].append(common[both].astype(np.float64))
    areas = {name: pair_auc(np.concatenate(parts), heard) for name, parts in scores.items()}
    target = areas["track-rate"] + 0.3 * (areas["ceiling"] - areas["track-rate"])
    print(json.dumps({"simulated": simulated, "pairs": len(chosen), "pair-auc": areas, "target": target}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
