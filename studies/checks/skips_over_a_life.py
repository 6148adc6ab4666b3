"""Does what a listener skipped before say what they skip now?

`python studies/checks/skips_over_a_life.py STORE [--resamples 1000]` prints one JSON document for a store with
listeners and times. No model is trained. Of the plays of test sessions (`split = "chronological"`) whose listener has
played the track in an earlier session and whose feedback is known, it says how well these tell which ones are listened
to (AUC):

- `track`: the track's listen rate in training;
- `listener`: the listener's listen rate before the session;
- `own`: the listener's listen rate for this track before the session, in which the track's rate counts for two plays;
- `last`: whether the listener listened to it the last time.

Intervals by a bootstrap of listeners.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.split import DataConfig, Split, split_store
from segue.store import NUM_SPECIALS, Store

PRIOR = 2.0
"""Plays that the track's rate counts for beside the listener's own."""


class Plays:
    """All plays of a store, listener after listener by time; `start[i]`: the first play of the session of play i."""

    def __init__(self, store: Store) -> None:
        user = np.asarray(store.side(columns.USER)).astype(np.int64)
        session = np.repeat(np.arange(store.num_sessions), np.diff(np.asarray(store.offsets)).astype(np.int64))
        at = np.asarray(store.side(columns.AT)).astype(np.int64)
        begin = at[np.asarray(store.offsets)[:-1]]
        self.row = np.lexsort((np.arange(len(at)), session, begin[session], user[session]))
        self.session = session[self.row]
        self.user, self.track = user[self.session], np.asarray(store.tracks)[self.row].astype(np.int64)
        self.strength = np.asarray(store.strength)[self.row]
        self.start = np.searchsorted(_runs(self.session), _runs(self.session))
        self._pair = self.user * (store.num_tracks + NUM_SPECIALS) + self.track
        self._order = np.lexsort((np.arange(len(at)), self._pair))

    def earlier(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, for each play, the sum of `values` over the listener's plays of its track in earlier sessions."""
        ordered = np.concatenate(([0.0], np.cumsum(values[self._order])))
        key = self._pair[self._order] * len(self.row) + self._order
        first = np.searchsorted(key, self._pair * len(self.row))
        last = np.searchsorted(key, self._pair * len(self.row) + self.start)
        return ordered[last] - ordered[first]

    def last_before(self) -> NDArray[np.int64]:
        """Return the index of the listener's last play of the track in an earlier session; -1 without one."""
        key = self._pair[self._order] * len(self.row) + self._order
        place = np.searchsorted(key, self._pair * len(self.row) + self.start) - 1
        found = self._order[np.maximum(place, 0)]
        return np.where((place >= 0) & (self._pair[found] == self._pair), found, -1)


def _runs(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... for runs of equal values."""
    return np.cumsum(np.append(True, values[1:] != values[:-1])) - 1


def auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return P(score of a positive > that of a negative), ties a half."""
    order = np.sort(score)
    rank = (np.searchsorted(order, score, "left") + np.searchsorted(order, score, "right") + 1) / 2
    num = int(positive.sum())
    return float((rank[positive].sum() - num * (num + 1) / 2) / (num * (len(score) - num)))


def skips_foretold(store: Store, split: Split, plays: Plays, resamples: int) -> dict[str, Any]:
    """Return the AUC of each predictor, with intervals."""
    listened = np.asarray(skips.listened(plays.strength)).astype(float)
    known = listened + np.asarray(skips.skipped(plays.strength))
    in_training = np.zeros(store.num_rows, np.bool_)
    in_training[split.training_rows] = True
    weight = known * in_training[plays.row]
    counts = [np.bincount(plays.track, weight * value, store.num_tracks + NUM_SPECIALS) for value in (listened, 1.0)]
    rate = ((counts[0] + skips.RATE_PRIOR[0]) / (counts[1] + skips.RATE_PRIOR[1]))[plays.track]
    own = (plays.earlier(listened) + PRIOR * rate) / (plays.earlier(known) + PRIOR)
    sums = [np.concatenate(([0.0], np.cumsum(value))) for value in (listened, known)]
    first = np.searchsorted(plays.user, plays.user)
    listener = (sums[0][plays.start] - sums[0][first]) / np.maximum(sums[1][plays.start] - sums[1][first], 1.0)
    last = plays.last_before()
    test = np.isin(plays.session, split.cases["test"].session) & (known > 0) & (plays.earlier(known) > 0)
    scores = {"track": rate, "listener": listener, "own": own, "last": listened[last]}
    generator, users = np.random.default_rng(0), np.unique(plays.user[test])
    members = [np.flatnonzero(test & (plays.user == user)) for user in users]
    drawn = [
        np.concatenate([members[i] for i in generator.integers(0, len(users), len(users))]) for _ in range(resamples)
    ]
    positive = listened > 0
    found = {}
    for name, score in scores.items():
        spread = [auc(score[some], positive[some]) for some in drawn]
        low, high = np.percentile(spread, (2.5, 97.5)) if spread else (None, None)
        found[name] = [round(v, 4) for v in (auc(score[test], positive[test]), low, high) if v is not None]
    return {
        "plays": int(test.sum()),
        "listeners": len(users),
        "listened": round(float(positive[test].mean()), 4),
    } | found


def main() -> None:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    store = Store(asked.store)
    split, plays = split_store(store, DataConfig(split="chronological")), Plays(store)
    print(json.dumps(skips_foretold(store, split, plays, asked.resamples), indent=1))


if __name__ == "__main__":
    main()
