"""The held-out targets of a scene, with the groups over which metrics are defined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segue.config import nearest
from segue.errors import InputError

Member = NDArray[np.bool_]


@dataclass(frozen=True)
class PairTargets:
    """Sessions with a listened track among their two held-out ones, n of the N targets."""

    chosen: NDArray[np.int64]
    """Index of the session's target, [n]."""
    listened: Member
    """Which of the two was listened to, earlier track first, [n, 2]."""
    skipped: Member
    """Which of the two was skipped, [n, 2]."""
    reachable: Member
    """Whether both tracks are candidates, [n]."""

    @property
    def first(self) -> NDArray[np.int64]:
        """Return which of the two is the next listened track, 0 or 1, [n]."""
        return np.where(self.listened[:, 0], 0, 1)

    def mixed(self, heard: int) -> Member:
        """Return which sessions listened to track `heard` (0 or 1) and skipped the other, [n]."""
        return self.listened[:, heard] & self.skipped[:, 1 - heard]

    @property
    def differs(self) -> Member:
        """Return which sessions listened to one of the two and skipped the other, [n]."""
        return self.mixed(0) | self.mixed(1)


@dataclass(frozen=True)
class Targets:
    """N held-out targets, independent of any model: equal for all runs of one store, split and `[data]`."""

    unit: NDArray[np.int64]
    """Unit of the bootstrap: the target's session, or its listener if the store has them, [N]."""
    groups: Mapping[str, Member] = field(default_factory=dict)
    """Members of each group, [N]: listened, skipped, repeat, discovery, seen, untied."""
    strata: Mapping[str, Member] = field(default_factory=dict)
    """Members of each stratum, [N], e.g. 'context_type=radio'."""
    known_last: Member = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether the feedback of the last input is known, so that it can be flipped, [N]."""
    pairs: PairTargets | None = None
    """None if the split holds out one track per session."""

    def __len__(self) -> int:
        return len(self.unit)

    def member(self, name: str) -> Member:
        """Return the members of a group or stratum by name, [N].

        Raises:
            InputError: there is no such group or stratum (empty strata are left out).
        """
        for members in (self.groups, self.strata):
            if name in members:
                return members[name]
        names = {*self.groups, *self.strata}
        raise InputError(f"unknown group or stratum {name!r}{nearest(name, names)}")
