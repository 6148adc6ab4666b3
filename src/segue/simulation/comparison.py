"""A simulated log beside the aggregates that it is calibrated on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import skips
from segue.simulation import calibration
from segue.simulation.catalogue import covered
from segue.simulation.log import SimulatedLog

TOLERANCE: Final = 0.03
"""Of every share that is compared, at 10,000 sessions over 50,704 tracks or more."""
RARE_TOLERANCE: Final = 0.01
"""Of the share of plays with none of the four flags, itself about .02."""
SPREAD_TOLERANCE: Final = 0.02
"""Of the standard deviation of the tracks' true skip rates."""
FEWEST_PLAYS: Final = 100
"""Full-scale plays from which on a track's skip rate is compared."""
LOWEST_RANK: Final = 5
"""Top tracks fewer than these, at the scale of the catalogue, are not compared: one more is more than the tolerance."""
THINNINGS: Final = 20
"""Draws that the thinned aggregates are averaged over."""
TRACK_WORLDS: Final = ("full",)
"""Worlds whose tracks' skip rates are fitted; elsewhere they print without a tolerance."""


def compare(log: SimulatedLog) -> dict[str, Any]:
    """Return the statistics of `log` beside the aggregates, thinned to its size: `rows`, and whether all are `ok`.

    A row has statistic, simulated, aggregate, difference, tolerance and ok; tolerance and ok are None where nothing is
    demanded. Numbers of thinned aggregates come from a generator of their own.
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
    """Return the share of sessions of each length; thinning leaves the expected share as it is."""
    lengths, counts = np.diff(log.offsets), calibration.SESSION_LENGTH_COUNTS
    total = sum(counts.values())
    return [_row(f"sessions of {n}", (lengths == n).mean(), count / total, TOLERANCE) for n, count in counts.items()]


def _flags(log: SimulatedLog) -> list[dict[str, Any]]:
    """Return the shares of plays by flag.

    `skip_2` is the mini set's; the rest is scaled to it, because the small sample (180 sessions), which alone has
    them, has another rate of `skip_2` (.479).
    """
    skip_2 = calibration.SKIP_2_RATE
    heard, mostly, unknown = 1 - skip_2, calibration.MOSTLY_OF_LISTENED, calibration.UNKNOWN_OF_LISTENED
    known = log.strength != skips.UNKNOWN_STRENGTH
    return [
        _row("skip_1", (known & (log.strength >= 3)).mean(), skip_2 * calibration.SKIP_1_OF_SKIP_2, TOLERANCE),
        _row("skip_2", (known & (log.strength >= 2)).mean(), skip_2, TOLERANCE),
        _row("skip_3", (known & (log.strength >= 1)).mean(), skip_2 + heard * mostly, TOLERANCE),
        _row("not_skipped", (log.strength == 0).mean(), heard * (1 - mostly - unknown), TOLERANCE),
        _row("none of the four", (~known).mean(), heard * unknown, RARE_TOLERANCE),
    ]


def _weight(num_tracks: int) -> NDArray[np.float64]:
    """Return the share of plays of each track of a catalogue scaled from the aggregates, falling."""
    weight = np.diff(covered(np.arange(num_tracks + 1) / num_tracks))
    return np.sort(weight / weight.sum())[::-1]


def _coverage(log: SimulatedLog, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return the share of plays on the top tracks, at ranks scaled to the catalogue.

    Both sides are sorted by the plays *observed*, which favours the top: so the aggregates are thinned to the plays of
    the log (independent Poisson counts: a binomial thinning of plays that are many), then sorted too.
    """
    num_tracks = len(log.track_ids)
    plays = np.sort(np.bincount(log.track, minlength=num_tracks))[::-1].cumsum() / len(log.track)
    thinned = np.sort(generator.poisson(_weight(num_tracks) * len(log.track)))[::-1].cumsum()
    rows = []
    for _, rank in calibration.PLAYS_COVERED_BY_TOP:
        scaled = round(rank * num_tracks / calibration.NUM_TRACKS)
        if scaled >= LOWEST_RANK:
            expected = thinned[scaled - 1] / thinned[-1]
            rows.append(_row(f"plays on the top {scaled:,} tracks", plays[scaled - 1], expected, TOLERANCE))
    return rows


def _seen(log: SimulatedLog) -> float:
    """Return the share of a scaled catalogue that as many independent plays would touch."""
    return float(-np.expm1(-_weight(len(log.track_ids)) * len(log.track)).mean())


def _track_rates(log: SimulatedLog, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Return how many of the tracks with >= 100 full-scale plays are skipped at most 30, 40 .. 70 % of their plays.

    A track of the catalogue stands for NUM_TRACKS / T tracks of the full data set, each with
    weight * NUM_PLAYS * T / NUM_TRACKS plays: so a track counts from 100 *full-scale* plays on, though it may have one
    here. A rate of few plays is mostly noise. So what is compared are not true rates but observed ones, with
    equal noise on both sides: each track takes a true rate from the aggregates, and its aggregate plays are thinned
    binomially to the plays that it has here. The standard deviation is that of the true rates in both: from the pairs
    of plays of a track, E[k (k - 1) / (n (n - 1))] = E[rate^2], tracks weighted by min(n - 1, 20).
    """
    num_tracks = len(log.track_ids)
    plays = np.bincount(log.track, minlength=num_tracks)
    skipped = np.bincount(log.track[skips.skipped(log.strength)], minlength=num_tracks)
    full_scale = log.catalogue.weight * calibration.NUM_PLAYS * num_tracks / calibration.NUM_TRACKS
    compared = (full_scale >= FEWEST_PLAYS) & (plays > 0)
    plays, skipped = plays[compared], skipped[compared]
    mass = np.array(calibration.TRACK_SKIP_RATE_MASS) / sum(calibration.TRACK_SKIP_RATE_MASS)
    place = generator.choice(len(mass), (THINNINGS, len(plays)), p=mass)
    drawn = generator.binomial(plays, (place + generator.random(place.shape)) / len(mass)) / plays
    rows = [
        _row(f"tracks skipped <= {at:.0%}", (skipped / plays <= at).mean(), (drawn <= at).mean(), TOLERANCE)
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
