"""Groups and strata of held-out targets, and the units of the bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.batches.held_out import BY_TIME
from segue.batches.listener_past import listener_ranges
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.targets import Member

HOURS: Final = 6
"""Hours per stratum of the day."""
PLAYS: Final = (0, 4, 20)
"""Upper bounds of the strata of training plays."""
POSITIONS: Final = (5, 10, 15, 20)
"""Upper bounds of the strata of positions (tracks heard before the target)."""


def units(scene: EvaluationScene) -> NDArray[np.int64]:
    """Return the unit of each target: its listener if the store has listeners, else its session, [N]."""
    session = scene.contexts.cases.session
    listener = scene.side_of(columns.USER, session)
    return session if listener is None else listener.astype(np.int64)


def known_last(scene: EvaluationScene) -> Member:
    """Return which last inputs have known feedback and so can be flipped, [N]."""
    last = scene.contexts.cases.target - 1
    return scene.listened(last) | scene.skipped(last)


def target_groups(scene: EvaluationScene) -> dict[str, Member]:
    """Return the members of each group of targets: listened, skipped, repeat, discovery, seen, untied, replayed, new.

    `repeat` = the track is in the context, as far as a model reads; `discovery` = it is not. Where earlier sessions of
    listeners are read: `replayed` = the listener has played it, in the context or before; `new` = not.
    """
    target, repeats = scene.contexts.cases.target, _repeats(scene)
    groups = {
        "listened": scene.listened(target),
        "skipped": scene.skipped(target),
        "repeat": repeats,
        "discovery": ~repeats,
        "seen": scene.split.training_counts[scene.contexts.target] > 0,
    }
    tied = scene.side_of(columns.TIED, target)
    if tied is not None:
        groups["untied"] = ~tied.astype(np.bool_)
    if scene.split.kind in BY_TIME and scene.store.side_column(columns.USER) is not None:
        replayed = repeats | _played_before(scene)
        groups |= {"replayed": replayed, "new": ~replayed}
    return groups


def strata(scene: EvaluationScene) -> dict[str, Member]:
    """Return the members of each stratum by name ('context_type=radio'), [N] each, without empty strata.

    Side columns are those of the target's row. `popularity` = tenths of the training plays, 1 = the most played
    tracks; `plays` = number of training plays of the track; `skip_share` = quartiles of the share of skips in the
    context; `session_type` = whether at least half of the first and of the second half of the context were skips
    (listener, skipper, listen-then-skip, skip-then-listen; the four clusters of Meggetto et al. 2021).
    """
    plays = np.searchsorted(PLAYS, scene.split.training_counts[scene.contexts.target])
    whole, first, second = _skip_shares(scene)
    kind = (first >= 0.5) * 2 + (second >= 0.5)
    quartile = np.searchsorted(np.quantile(whole, (0.25, 0.5, 0.75)), whole, side="left") if len(whole) else whole
    members = (
        _from_columns(scene)
        | {f"position={name}": member for name, member in position_strata(scene).items()}
        | _named("popularity", _popularity(scene), map(str, range(1, 11)))
        | _named("plays", plays, ["0", "1-4", "5-20", "above 20"])
        | _named("session_type", kind, ["listener", "listen-then-skip", "skip-then-listen", "skipper"])
        | _named("skip_share", quartile, ["1st", "2nd", "3rd", "4th"])
    )
    return {name: member for name, member in members.items() if member.any()}


def _named(name: str, code: NDArray[np.generic], values: Iterable[str]) -> dict[str, Member]:
    return {f"{name}={value}": code == number for number, value in enumerate(values)}


def _from_columns(scene: EvaluationScene) -> dict[str, Member]:
    context = scene.store.side_column(columns.CONTEXT_TYPE)
    hours = [f"{hour}-{hour + HOURS - 1}" for hour in range(0, 24, HOURS)]
    values: list[tuple[str, Sequence[str], int]] = [
        (columns.CONTEXT_TYPE, () if context is None else context.categories, 1),
        (columns.PREMIUM, ("no", "yes"), 1),
        (columns.SHUFFLE, ("no", "yes"), 1),
        (columns.HOUR, hours, HOURS),
    ]
    members: dict[str, Member] = {}
    for name, names, step in values:
        code = scene.side_of(name, scene.contexts.cases.target)
        if code is not None:
            members |= _named(name, code.astype(np.int64) // step, names)
    return members


def position_strata(scene: EvaluationScene) -> dict[str, Member]:
    """Return the members of each stratum of positions by name ('6-10' tracks heard before the target), [N] each."""
    lows = (1, *(bound + 1 for bound in POSITIONS[:-1]))
    names = [f"{low}-{high}" for low, high in zip(lows, POSITIONS, strict=True)] + [f"above {POSITIONS[-1]}"]
    code = np.searchsorted(POSITIONS, scene.contexts.cases.target - scene.contexts.cases.begin)
    return {name: code == number for number, name in enumerate(names)}


def _popularity(scene: EvaluationScene) -> NDArray[np.int64]:
    """Return the tenth of the training plays to which each target's track belongs, 0 = the most played."""
    counts = scene.split.training_counts
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    tenth = np.empty(len(counts), np.int64)
    tenth[order] = np.minimum(10 * before // max(int(counts.sum()), 1), 9)
    return tenth[scene.contexts.target]


def _repeats(scene: EvaluationScene) -> Member:
    """Return which targets are in their context, as far as a model reads, [N]."""
    result = np.zeros(len(scene.contexts.target), np.bool_)
    for index, batch in scene.contexts.blocks(4096):
        result[index] = (batch.padded.tracks.cpu().numpy() == scene.contexts.target[index][:, None]).any(axis=1)
    return result


def _played_before(scene: EvaluationScene) -> Member:
    """Return which targets their listener has played in an earlier session, [N]."""
    past, session = listener_ranges(scene.store, scene.split), scene.contexts.cases.session
    tracks = np.asarray(scene.store.tracks)[past.rows].astype(np.int64)
    order = np.lexsort((np.arange(len(tracks)), tracks))
    keys = tracks[order] * (len(tracks) + 1) + order
    wanted = scene.contexts.target * (len(tracks) + 1)
    return np.searchsorted(keys, wanted + past.begin[session]) < np.searchsorted(keys, wanted + past.end[session])


def _skip_shares(scene: EvaluationScene) -> list[NDArray[np.float64]]:
    """Return the share of skips in each context, in its first and in its second half, [N] each; 0 if empty."""
    begin, target = scene.contexts.cases.begin, scene.contexts.cases.target
    sums = np.concatenate(([0], np.cumsum(scene.skipped(np.arange(scene.store.num_rows)))))
    middle = (begin + target) // 2
    parts = ((begin, target), (begin, middle), (middle, target))
    return [(sums[end] - sums[start]) / np.maximum(end - start, 1) for start, end in parts]
