"""The held-out targets that all scorers on one scene share: what each is, and where metrics are defined."""

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
    """Where both tracks are candidates, [n]."""

    @property
    def first(self) -> NDArray[np.int64]:
        """Return which of the two is the next listened track, 0 or 1, [n]."""
        return np.where(self.listened[:, 0], 0, 1)

    def mixed(self, heard: int) -> Member:
        """Return where track `heard` (0 or 1) was listened to and the other one skipped, [n]."""
        return self.listened[:, heard] & self.skipped[:, 1 - heard]

    @property
    def differs(self) -> Member:
        """Return where one of the two was listened to and the other skipped, [n]."""
        return self.mixed(0) | self.mixed(1)


@dataclass(frozen=True)
class Targets:
    """N held-out targets, without any model's answer: equal for every run of one store, split and recipe of data."""

    unit: NDArray[np.int64]
    """What the bootstrap draws: the target's session, or its listener where the store has them, [N]."""
    groups: Mapping[str, Member] = field(default_factory=dict)
    """Members of each group, [N]: listened, skipped, seen, untied."""
    strata: Mapping[str, Member] = field(default_factory=dict)
    """Members of each stratum, [N], e.g. 'context_type=radio'."""
    known_last: Member = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Where the feedback of the last input is known, so that it can be flipped, [N]."""
    pairs: PairTargets | None = None
    """None where the split holds out one track a session."""

    def __len__(self) -> int:
        return len(self.unit)

    def member(self, name: str) -> Member:
        """Return the members of a group or stratum by name, [N].

        Raises:
            InputError: there is none of that name (an empty stratum is left out).
        """
        for known in (self.groups, self.strata):
            if name in known:
                return known[name]
        names = {*self.groups, *self.strata}
        raise InputError(f"there is no group or stratum {name!r} among these targets{nearest(name, names)}")
