"""Compares a simulated log with the aggregates to which the simulator is fitted."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import skips
from segue.simulation import calibration
from segue.simulation.catalogue import scaled_weight
from segue.simulation.log import SimulatedLog

TOLERANCE: Final = 0.03
"""For every compared share, at 10,000 sessions over 50,704 tracks or more."""
RARE_TOLERANCE: Final = 0.01
"""For the share of plays with none of the four flags, which is about .02."""
SPREAD_TOLERANCE: Final = 0.02
"""For the standard deviation of the tracks' true skip rates."""
FEWEST_PLAYS: Final = 100
"""Least full-scale plays of a track whose skip rate is compared."""
LOWEST_RANK: Final = 5
"""Fewer top tracks, at the scale of the catalogue, are not compared: one track exceeds the tolerance."""
THINNINGS: Final = 20
"""Draws over which the thinned aggregates are averaged."""
TRACK_WORLDS: Final = ("full",)
"""Worlds whose tracks' skip rates are fitted; in other worlds they have no tolerance."""


def compare(log: SimulatedLog) -> dict[str, Any]:
    """Return the statistics of `log` and of the aggregates, thinned to its size: `rows`, and whether all are `ok`.

    A row has statistic, simulated, aggregate, difference, tolerance and ok; tolerance and ok are None for statistics
    that are not tested. Thinned aggregates have a separate generator.
    """
    generator = np.random.default_rng([0xC0, len(log.track)])
    rows = [*_lengths(log), *_flags(log), *_coverage(log, generator)]
    demanded = log.summary["world"] in TRACK_WORLDS
    rows += [row if demanded else row | {"tolerance": None, "ok": None} for row in _track_rates(log, generator)]
    seen = len(np.unique(log.track)) / len(log.track_ids)
    rows.append(_row("distinct tracks / catalogue", seen, _seen(log), None))
    return {"rows": rows, "ok": all(row["ok"] is not False for row in rows)}


def _row(statistic: str, simulated: float, aggregate: float, tolerance: float | None) -> dict[str, Any]:
    difference = float(simulated) - float(aggregate)
    return {
        "statistic": statistic,
        "simulated": float(simulated),
        "aggregate": float(aggregate),
        "difference": difference,
        "tolerance": tolerance,
        "ok": None if tolerance is None else abs(difference) <= tolerance,
    }


def _lengths(log: SimulatedLog) -> list[dict[str, Any]]:
    """Return the share of sessions of each length; thinning does not change the expected share."""
    lengths, counts = np.diff(log.offsets), calibration.SESSION_LENGTH_COUNTS
    total = sum(counts.values())
    return [_row(f"sessions of {n}", (lengths == n).mean(), count / total, TOLERANCE) for n, count in counts.items()]


def _flags(log: SimulatedLog) -> list[dict[str, Any]]:
    """Return the shares of plays by flag.

    `skip_2` is the mini set's. The others come from the small sample (180 sessions), whose rate of `skip_2` differs
    (.479), so they are scaled.
    """
    skip_2 = calibration.SKIP_2_RATE
    heard, mostly, unknown = 1 - skip_2, calibration.MOSTLY_OF_LISTENED, calibration.UNKNOWN_OF_LISTENED
    rated = log.strength != skips.UNKNOWN_STRENGTH
    return [
        _row("skip_1", (rated & (log.strength >= 3)).mean(), skip_2 * calibration.SKIP_1_OF_SKIP_2, TOLERANCE),
        _row("skip_2", (rated & (log.strength >= 2)).mean(), skip_2, TOLERANCE),
        _row("skip_3", (rated & (log.strength >= 1)).mean(), skip_2 + heard * mostly, TOLERANCE),
        _row("not_skipped", (log.strength == 0).mean(), heard * (1 - mostly - unknown), TOLERANCE),
        _row("none of the four", (~rated).mean(), heard * unknown, RARE_TOLERANCE),
    ]


def _coverage(log: SimulatedLog, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return the share of plays on the top tracks, at ranks scaled to the catalogue.

    Sorting by *observed* plays favours the top. So the aggregates are thinned to the plays of the log (independent
    Poisson counts approximate a binomial thinning), then sorted too.
    """
    num_tracks = len(log.track_ids)
    plays = np.sort(np.bincount(log.track, minlength=num_tracks))[::-1].cumsum() / len(log.track)
    thinned = np.sort(generator.poisson(scaled_weight(num_tracks) * len(log.track)))[::-1].cumsum()
    rows = []
    for _, rank in calibration.PLAYS_COVERED_BY_TOP:
        scaled = round(rank * num_tracks / calibration.NUM_TRACKS)
        if scaled >= LOWEST_RANK:
            expected = thinned[scaled - 1] / thinned[-1]
            rows.append(_row(f"plays on the top {scaled:,} tracks", plays[scaled - 1], expected, TOLERANCE))
    return rows


def _seen(log: SimulatedLog) -> float:
    """Return the expected share of a scaled catalogue that occurs in as many independent plays."""
    return float(-np.expm1(-scaled_weight(len(log.track_ids)) * len(log.track)).mean())


def _track_rates(log: SimulatedLog, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return the shares of tracks with >= 100 full-scale plays that are skipped in at most 30, 40 .. 70 % of them.

    A track of the catalogue represents NUM_TRACKS / T tracks of the full data set, each with
    weight * NUM_PLAYS * T / NUM_TRACKS plays; it counts from 100 *full-scale* plays on, even with one play here.
    A rate of few plays is mostly noise, so observed rates are compared, with equal noise on both sides: each track
    draws a true rate from the aggregates, and its plays are thinned binomially to the plays that it has here. The
    standard deviation is that of the true rates: from the pairs of plays of a track,
    E[k (k - 1) / (n (n - 1))] = E[rate^2], tracks weighted by min(n - 1, 20).
    """
    num_tracks = len(log.track_ids)
    plays = np.bincount(log.track, minlength=num_tracks)
    skipped = np.bincount(log.track[skips.skipped(log.strength)], minlength=num_tracks)
    full_scale = log.catalogue.weight * calibration.NUM_PLAYS * num_tracks / calibration.NUM_TRACKS
    compared = (full_scale >= FEWEST_PLAYS) & (plays > 0)
    plays, skipped = plays[compared], skipped[compared]
    mass = np.array(calibration.TRACK_SKIP_RATE_MASS) / sum(calibration.TRACK_SKIP_RATE_MASS)
    step = generator.choice(len(mass), (THINNINGS, len(plays)), p=mass)
    aggregate = generator.binomial(plays, (step + generator.random(step.shape)) / len(mass)) / plays
    rows = [
        _row(f"tracks skipped <= {at:.0%}", (skipped / plays <= at).mean(), (aggregate <= at).mean(), TOLERANCE)
        for at in (0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    rates = (np.arange(len(mass)) + 0.5) / len(mass)
    spread = float(np.sqrt(mass @ rates**2 - (mass @ rates) ** 2 + 1 / (12 * len(mass) ** 2)))
    return [*rows, _row("SD of true skip rates", _true_spread(plays, skipped), spread, SPREAD_TOLERANCE)]


def _true_spread(plays: NDArray[np.int64], skipped: NDArray[np.int64]) -> float:
    often = plays >= 2
    if not often.any():
        return float("nan")
    n, k = plays[often].astype(np.float64), skipped[often]
    weight = np.minimum(n - 1, 20)
    mean = np.average(k / n, weights=weight)
    variance = np.average(k * (k - 1) / (n * (n - 1)), weights=weight) - mean**2
    return float(np.sqrt(max(variance, 0.0)))
