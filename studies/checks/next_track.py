"""How well can the next track be foretold? The ceiling of ranking given a session's history (simulated data).

`python studies/checks/next_track.py STORE [--sessions 5000]` ranks all tracks of a simulated store by the simulator's
own P(next | history), the listener's home genre summed out by Bayes with the simulator's catalogue and constants, on a
sample of the test targets, and prints HR among all tracks, the feedback utility and the responsiveness that such a
listener to the listener has (method, section 5): no model that only sees histories can rank better on average, and a
model that reacts to skips as the simulated world does has about this responsiveness.

One approximation: a track that repeats the one before the last tells nothing of the genre that the session is in.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import numpy as np
import torch
from ceiling import CHUNK, Array, Listener, catalogue_places, simulated_config
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.split import DataConfig, split_store
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.lists import find_near, nearer
from segue.evaluation.metrics import hit
from segue.recipes import EvaluationConfig
from segue.simulation.catalogue import LEAVES, make_catalogue
from segue.simulation.listening import DRIFT, LONGEST, MOVE, REPEAT, Player, find_intercept
from segue.store import NUM_SPECIALS, Store

CUTOFFS = (1, 10, 20)
TOP = 20


class Truth:
    """P(next) of every track of a store."""

    def __init__(self, listener: Listener, of_row: NDArray[np.int64]) -> None:
        """`of_row`: place in the catalogue of each table row, specials included."""
        catalogue = listener.catalogue
        player = Player(catalogue)
        self.listener, self.catalogue, self.follow, self.of_row = listener, catalogue, player.follow, of_row
        self.rows_of = np.full(len(catalogue.leaf), -1)
        self.rows_of[of_row[NUM_SPECIALS:]] = np.arange(NUM_SPECIALS, len(of_row))
        rest = catalogue.weight.copy()
        rest[catalogue.successor] -= player.follow * catalogue.weight
        heard = of_row[NUM_SPECIALS:]
        self.leaf = catalogue.leaf[heard]
        masses = [np.bincount(catalogue.leaf, weight, LEAVES) for weight in (catalogue.weight, rest)]
        self.fresh, self.rest = (
            weight[heard] / mass[self.leaf] for weight, mass in zip((catalogue.weight, rest), masses, strict=True)
        )

    def scores(
        self,
        track: NDArray[np.int64],
        skipped: NDArray[np.bool_],
        length: NDArray[np.int64],
        context: NDArray[np.int64],
    ) -> Array:
        """Return P(next) of each of the store's tracks after `length` tracks [N] of each session, [N, tracks]."""
        who = np.arange(len(track))
        home = self.listener.weights(track, skipped, length, context).sum(axis=(2, 3))
        last, before = track[who, length - 1], track[who, length - 2]
        leaf = self.genre(track, length)
        chance = np.where(skipped[who, length - 1], MOVE, DRIFT)[:, None]
        genres = (1 - chance) * np.eye(LEAVES)[leaf] + chance * (0.5 * home + 0.5 * self.listener.mass)
        own = self.catalogue.leaf[last]
        stays, follow = genres[who, own], self.follow[last]
        moved = genres.copy()
        moved[who, own] = 0.0
        result = (1 - REPEAT) * moved[:, self.leaf] * self.fresh
        goes_on = (stays * (1 - follow - REPEAT))[:, None] * self.rest
        result += np.where(self.leaf == own[:, None], goes_on, 0.0)
        for tracks, share in ((self.catalogue.successor[last], stays * follow), (before, np.full(len(track), REPEAT))):
            row = self.rows_of[tracks]
            result[who[row >= 0], row[row >= 0] - NUM_SPECIALS] += share[row >= 0]
        return result

    def genre(self, track: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the genre that each session is in after `length` tracks: that of its last track that is no repeat."""
        leaf = self.catalogue.leaf[track[:, 0]]
        for place in range(1, int(length.max())):
            repeats = (place >= 2) & (track[:, place] == track[:, max(place - 2, 0)])
            leaf = np.where((place < length) & ~repeats, self.catalogue.leaf[track[:, place]], leaf)
        return np.asarray(leaf)


def main() -> int:
    """Print the ceiling."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--sessions", type=int, default=5_000, help="test targets looked at, at most")
    given = parser.parse_args()
    store = Store(given.store)
    config = simulated_config(store)
    if config.world != "full":
        parser.error("the ceiling is that of world full")
    catalogue = make_catalogue(config.tracks, np.random.default_rng([config.seed, 0]))
    truth = Truth(Listener(catalogue, find_intercept(config, catalogue)), catalogue_places(store, config))
    data = DataConfig(vocabulary="transductive")
    scene = make_scene(store, split_store(store, data), data, EvaluationConfig(), "test", torch.device("cpu"))
    cases = scene.contexts.cases
    chosen = np.sort(np.random.default_rng(0).permutation(len(cases.target))[: given.sessions])
    scene = replace(scene, contexts=scene.part(cases, chosen))
    cases = scene.contexts.cases
    tracks, strength = np.asarray(store.tracks), np.asarray(store.strength)
    context = np.asarray(store.side(columns.CONTEXT_TYPE))
    ranks: list[tuple[Array, Array]] = []
    lists: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    for begin in range(0, len(chosen), CHUNK):
        some = slice(begin, begin + CHUNK)
        first, target = cases.begin[some], cases.target[some]
        length, who = target - first, np.arange(len(target))
        place = np.minimum(first[:, None] + np.arange(LONGEST), len(tracks) - 1)
        skipped, flipped = skips.skipped(strength[place]), skips.skipped(strength[place])
        flipped[who, length - 1] ^= True
        found = [
            truth.scores(truth.of_row[tracks[place]], known, length, context[first].astype(np.int64))
            for known in (skipped, flipped)
        ]
        own = tracks[target] - NUM_SPECIALS
        ranks.append(tuple(
            1 + (scores > scores[who, own][:, None]).sum(1) + ((scores == scores[who, own][:, None]).sum(1) - 1) / 2
            for scores in found
        ))  # fmt: skip
        best = [np.argpartition(-scores, TOP, axis=1)[:, :TOP].astype(np.int32) + NUM_SPECIALS for scores in found]
        lists.append((best[0], best[1]))
    true, other = (np.concatenate([part[i] for part in ranks]) for i in (0, 1))
    known = scene.listened(cases.target - 1) | scene.skipped(cases.target - 1)
    best, turned = (np.concatenate([part[i] for part in lists]) for i in (0, 1))
    closer = nearer(scene, find_near(scene), best, turned)
    result = {
        "simulated": store.manifest.source.simulated,
        "targets": len(chosen),
        "hr, all tracks": {k: round(float(hit(true, k).mean()), 4) for k in CUTOFFS},
        "feedback utility": round(float((hit(true, 10).astype(float) - hit(other, 10))[known].mean()), 4),
        "responsiveness": round(float(closer[known].mean()), 4),
    }
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
