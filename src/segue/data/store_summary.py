"""Figures of a store."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.output import SCHEMA_VERSION
from segue.skips import UNKNOWN_STRENGTH, listened, skipped
from segue.store.reader import Store
from segue.store.vocabulary import NUM_SPECIALS

_TOP: Final = (1, 10, 100, 1_000, 10_000, 100_000)
_POSITIONS: Final = 50
"""Positions from this one on are counted together."""


def inspect_store(store: Store) -> dict[str, Any]:
    """Return a JSON document on `store`: counts, lengths, popularity, skip rates, unseen test targets.

    Rates are over events of known strength, None without any. `skip_rate` is the share of strength 2 or 3.
    """
    offsets, tracks, strength = np.asarray(store.offsets), store.tracks, np.asarray(store.strength)
    lengths = np.diff(offsets)
    values, counts = np.unique(lengths, return_counts=True)
    source = store.manifest.source
    return {
        "schema_version": SCHEMA_VERSION,
        "store": store.path.name,
        "fingerprint": store.manifest.fingerprint,
        "source": {"kind": source.kind, "name": source.name, **source.report},
        "simulated": source.simulated or False,
        "sessions": store.num_sessions,
        "rows": store.num_rows,
        "tracks": store.num_tracks,
        "lengths": {str(int(value)): int(count) for value, count in zip(values, counts, strict=True)},
        "popularity": _popularity(tracks, store.num_tracks),
        "strengths": _strengths(strength),
        "skip_rate": _rate(strength),
        "skip_rate_by_context": _by_context(store, strength),
        "skip_rate_by_position": _by_position(offsets, strength),
        "unseen_test_targets": _unseen(offsets, np.asarray(tracks), store.num_tracks),
        "side": [{"name": c.name, "dtype": c.dtype, "level": c.level} for c in store.manifest.side],
    }


def _rate(strength: NDArray[np.uint8]) -> float | None:
    """Return skipped / (skipped + listened), None if both are 0."""
    skips, plays = int(skipped(strength).sum()), int(listened(strength).sum())
    return skips / (skips + plays) if skips + plays else None


def _strengths(strength: NDArray[np.uint8]) -> dict[str, float]:
    """Return the share of rows of each strength; 'unknown' is 255."""
    counts = np.bincount(strength, minlength=256) / max(len(strength), 1)
    return {**{str(code): float(counts[code]) for code in range(4)}, "unknown": float(counts[UNKNOWN_STRENGTH])}


def _popularity(tracks: NDArray[np.int32], num_tracks: int) -> dict[str, Any]:
    """Return plays of the top tracks as shares of all rows, and how many tracks cover 25, 50 and 75 % of them."""
    plays = np.sort(np.bincount(tracks, minlength=num_tracks + NUM_SPECIALS)[NUM_SPECIALS:])[::-1]
    covered = np.cumsum(plays) / max(len(tracks), 1)
    cover = {f"tracks_covering_{part}": int(np.searchsorted(covered, part / 100)) + 1 for part in (25, 50, 75)}
    top = {str(rank): float(covered[rank - 1]) for rank in _TOP if rank <= len(plays)}
    singles = float((plays == 1).mean()) if len(plays) else None
    return {"top_share": top, **cover, "max_plays": int(plays.max(initial=0)), "share_played_once": singles}


def _by_context(store: Store, strength: NDArray[np.uint8]) -> dict[str, Any]:
    column = store.side_column(columns.CONTEXT_TYPE)
    if column is None:
        return {}
    context = np.asarray(store.side(columns.CONTEXT_TYPE))
    rates = {}
    for code, name in enumerate(column.categories):
        rows = strength[context == code]
        rates[name] = {"rows": len(rows), "skip_rate": _rate(rows)}
    return rates


def _by_position(offsets: NDArray[np.int64], strength: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Return rows and skip rate at each 1-based position; the last entry counts all later positions too."""
    lengths = np.diff(offsets)
    position = np.minimum(np.arange(len(strength)) - np.repeat(offsets[:-1], lengths), _POSITIONS - 1)
    rows = np.bincount(position) if len(position) else np.zeros(0, np.int64)
    skips = np.bincount(position, weights=skipped(strength), minlength=len(rows))
    rated = skips + np.bincount(position, weights=listened(strength), minlength=len(rows))
    return [
        {"position": at + 1, "rows": int(count), "skip_rate": float(skips[at] / rated[at]) if rated[at] else None}
        for at, count in enumerate(rows)
    ]


def _unseen(offsets: NDArray[np.int64], tracks: NDArray[np.int32], num_tracks: int) -> dict[str, Any]:
    """Return how many test targets (last tracks) do not occur in training rows, under leave-last-two-out.

    Sessions of fewer than 3 tracks have no test target. Training rows are all but the last two of each session of at
    least 4 tracks.
    """
    lengths = np.diff(offsets)
    is_last_two = np.arange(len(tracks)) >= np.repeat(offsets[1:] - 2, lengths)
    is_training = ~is_last_two & np.repeat(lengths >= 4, lengths)
    seen = np.zeros(num_tracks + NUM_SPECIALS, np.bool_)
    seen[tracks[is_training]] = True
    targets = tracks[offsets[1:][lengths >= 3] - 1]
    unseen = int((~seen[targets]).sum())
    return {"targets": len(targets), "unseen": unseen, "share": unseen / len(targets) if len(targets) else None}
