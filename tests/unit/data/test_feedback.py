"""What is told counts before what is measured, and that before what is guessed."""

from __future__ import annotations

import numpy as np
import pytest

from segue.data.strengths import ORIGINS, lengths_seen, strengths

NAN = float("nan")


def judged(
    stated: int = 255, share: float = NAN, played: float = NAN, length: float = NAN, gap: float = NAN
) -> tuple[int, str]:
    """Return the strength of one play and its origin."""
    numbers = (np.array([value], np.float64) for value in (share, played, length, gap))
    strength, origin = strengths(np.array([stated], np.uint8), *numbers)
    return int(strength[0]), ORIGINS[origin[0]]


@pytest.mark.parametrize(
    ("play", "wanted"),
    [
        ({"stated": 0, "played": 1.0, "length": 200.0}, (0, "told")),
        ({"stated": 3, "share": 1.0}, (3, "told")),
        ({"share": 0.1, "played": 400.0}, (3, "measured")),
        ({"played": 20.0, "length": 200.0}, (3, "measured")),
        ({"played": 90.0, "length": 200.0}, (2, "measured")),
        ({"played": 179.0, "length": 200.0}, (1, "measured")),
        ({"played": 180.0, "length": 200.0}, (0, "measured")),
        ({"played": 500.0, "length": 200.0}, (0, "measured")),
        ({"played": 4.9}, (3, "measured")),
        ({"played": 0.0}, (3, "measured")),
        ({"played": 29.9}, (2, "measured")),
        ({"played": 30.0}, (1, "measured")),
        ({"played": 30.0, "gap": 3.0}, (1, "measured")),
        ({"played": 200.0, "length": 0.0}, (1, "measured")),
        ({"played": -1.0, "length": 200.0}, (255, "unknown")),
        ({"gap": 10.0}, (2, "guessed")),
        ({"gap": 200.0}, (1, "guessed")),
        ({}, (255, "unknown")),
    ],
)
def test_the_first_that_is_known_counts(play: dict[str, float], wanted: tuple[int, str]) -> None:
    assert judged(**play) == wanted  # type: ignore[arg-type]


def lengths(track: list[int], played: list[float], blocks: int) -> list[float]:
    """Return the length of each of five tracks, from plays that come in some blocks."""
    tracks, seconds = np.array(track, np.int32), np.array(played)
    parts = zip(np.array_split(tracks, blocks), np.array_split(seconds, blocks), strict=True)
    return lengths_seen(parts, 5).tolist()


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_a_length_is_what_two_plays_agree_on(blocks: int) -> None:
    played = [200.0, 200.5, 900.0, 12.0, 100.0, 180.0, 20.0, 20.0, NAN]
    found = lengths([0, 0, 0, 0, 1, 1, 2, 2, 3], played, blocks)
    assert found[0] == 200.5  # the play of 900 s stands alone: paused, or wound back
    assert np.isnan(found[1:]).all()  # two plays that differ; two that were skipped; one of unknown time; none


def test_a_log_without_times_played_shows_no_length() -> None:
    assert np.isnan(lengths([0, 1], [NAN, NAN], 1)).all()
    assert np.isnan(lengths([], [], 1)).all()
