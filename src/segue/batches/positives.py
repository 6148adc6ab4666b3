"""Sets of targets: the tracks that each held-out case is to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Positives:
    """The sets of targets of N cases, one after another, P tracks in all."""

    offsets: NDArray[np.int64]
    """First track of each case, then the end of the last, [N + 1]."""
    tracks: NDArray[np.int64]
    """Table rows, distinct and ascending within a case, [P]."""
    repeated: NDArray[np.bool_]
    """Whether the listener played the track before, as far as the case may read, [P]."""
    plays: NDArray[np.int64]
    """How often the listener listened to it, [P]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of targets of each case, [N]."""
        return np.diff(self.offsets)

    @property
    def play_counts(self) -> NDArray[np.int64]:
        """Number of plays of the targets of each case, [N]."""
        return np.diff(np.concatenate(([0], np.cumsum(self.plays)))[self.offsets])

    @property
    def case(self) -> NDArray[np.int64]:
        """The case of each track, [P]."""
        return np.repeat(np.arange(len(self)), self.counts)

    def of(self, index: NDArray[np.int64]) -> Positives:
        """Return the targets of the cases `index`, in that order."""
        counts = self.counts[index]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        place = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], counts)
        return Positives(offsets, self.tracks[place], self.repeated[place], self.plays[place])

    def where(self, chosen: NDArray[np.bool_]) -> Positives:
        """Return the targets of all cases that are `chosen` [P]; some cases may have none."""
        before = np.concatenate(([0], np.cumsum(chosen)))
        offsets = before[self.offsets].astype(np.int64)
        return Positives(offsets, self.tracks[chosen], self.repeated[chosen], self.plays[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Positives]) -> Positives:
        """Return the targets of the cases of all parts, part after part."""
        offsets = np.concatenate(([0], np.cumsum(np.concatenate([one.counts for one in parts])))).astype(np.int64)
        tracks, repeated, plays = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("tracks", "repeated", "plays")
        )
        return cls(offsets, tracks, repeated, plays)

    def hits(self, ranked: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Return which of the ranked table rows [N, K] of each case are among its targets, [N, K]."""
        if len(self.tracks) == 0:
            return np.zeros(ranked.shape, np.bool_)
        size = int(max(self.tracks.max(), ranked.max(initial=0))) + 1
        keys = self.case * size + self.tracks
        wanted = np.arange(len(self))[:, None] * size + ranked
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.asarray(keys[place] == wanted)
