"""Strata of held-out targets."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.evaluation.scene import Scene

HOURS: Final = 6
"""Hours per stratum of the day."""
PLAYS: Final = (0, 4, 20)
"""Upper bounds of the strata of training plays."""
POSITIONS: Final = (5, 10, 15, 20)
"""Upper bounds of the strata of positions (tracks heard before the target)."""


def strata(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """Return the members of each stratum by name ('context_type=radio'), [N] each, without empty strata.

    Side columns are those of the target's row. `popularity` = tenths of the training plays, 1 = the most played
    tracks; `plays` = number of training plays of the track; `skip_share` = quartiles of the share of skips in the
    context; `session_type` = whether at least half of the first and of the second half of the context were skips
    (listener, skipper, listen-then-skip, skip-then-listen; the four clusters of Meggetto et al. 2021).
    """
    members = _from_columns(scene)
    members |= {f"position={name}": member for name, member in position_strata(scene).items()}
    members |= _named("popularity", _popularity(scene), [str(tenth) for tenth in range(1, 11)])
    members |= _named("plays", _plays(scene), ["0", "1-4", "5-20", "above 20"])
    members |= _named("repeat", _repeats(scene).astype(np.int64), ["new", "repeat"])
    whole, first, second = _skip_shares(scene)
    kind = (first >= 0.5).astype(np.int64) * 2 + (second >= 0.5)
    members |= _named("session_type", kind, ["listener", "listen-then-skip", "skip-then-listen", "skipper"])
    quartile = np.searchsorted(np.quantile(whole, (0.25, 0.5, 0.75)), whole, side="left") if len(whole) else whole
    members |= _named("skip_share", quartile.astype(np.int64), ["1st", "2nd", "3rd", "4th"])
    return {name: member for name, member in members.items() if member.any()}


def _named(name: str, code: NDArray[np.int64], values: list[str]) -> dict[str, NDArray[np.bool_]]:
    return {f"{name}={value}": code == number for number, value in enumerate(values)}


def _from_columns(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    members: dict[str, NDArray[np.bool_]] = {}
    rows = scene.contexts.cases.target
    context = scene.store.side_column(columns.CONTEXT_TYPE)
    if context is not None:
        code = np.asarray(scene.store.side(columns.CONTEXT_TYPE))[rows].astype(np.int64)
        members |= _named(columns.CONTEXT_TYPE, code, list(context.categories))
    for name in (columns.PREMIUM, columns.SHUFFLE):
        if scene.store.side_column(name) is not None:
            members |= _named(name, np.asarray(scene.store.side(name))[rows].astype(np.int64), ["no", "yes"])
    if scene.store.side_column(columns.HOUR) is not None:
        code = np.asarray(scene.store.side(columns.HOUR))[rows].astype(np.int64) // HOURS
        members |= _named(columns.HOUR, code, [f"{h}-{h + HOURS - 1}" for h in range(0, 24, HOURS)])
    return members


def position_strata(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """Return the members of each stratum of positions by name ('6-10' tracks heard before the target), [N] each."""
    lows = (1, *(bound + 1 for bound in POSITIONS[:-1]))
    names = [f"{low}-{high}" for low, high in zip(lows, POSITIONS, strict=True)] + [f"above {POSITIONS[-1]}"]
    code = np.searchsorted(POSITIONS, scene.contexts.cases.target - scene.contexts.cases.begin)
    return {name: code == number for number, name in enumerate(names)}


def _popularity(scene: Scene) -> NDArray[np.int64]:
    """Return the tenth of the training plays to which each target's track belongs, 0 = the most played."""
    counts = scene.split.training_counts
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    tenth = np.empty(len(counts), np.int64)
    tenth[order] = np.minimum(10 * before // max(int(counts.sum()), 1), 9)
    return tenth[scene.contexts.target]


def _plays(scene: Scene) -> NDArray[np.int64]:
    """Return the class of each target's training plays."""
    return np.searchsorted(PLAYS, scene.split.training_counts[scene.contexts.target])


def _repeats(scene: Scene) -> NDArray[np.bool_]:
    """Return which targets are in their context, as far as a model reads, bool [N]."""
    result = np.zeros(len(scene.contexts.target), np.bool_)
    for index, batch in scene.contexts.blocks(4096):
        result[index] = (batch.padded.tracks.cpu().numpy() == scene.contexts.target[index][:, None]).any(axis=1)
    return result


def _skip_shares(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of skips in each context, in its first and in its second half; 0 if empty."""
    cases = scene.contexts.cases
    sums = np.concatenate(([0], np.cumsum(scene.skipped(np.arange(scene.store.num_rows)))))
    middle = (cases.begin + cases.target) // 2

    def share(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray((sums[end] - sums[begin]) / np.maximum(end - begin, 1))

    return share(cases.begin, cases.target), share(cases.begin, middle), share(middle, cases.target)
