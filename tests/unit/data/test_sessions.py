"""Plays become the sessions that a loop over each listener's plays finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.plays import Plays
from segue.data.sessions import CutRules, cut_plays

Play = tuple[int, int, int, float]
"""Listener, track, time in seconds, seconds played (NaN: unknown)."""


def plays_of(rows: list[Play], session: list[int] | None = None, position: list[float] | None = None) -> Plays:
    """Return plays in the order given."""
    size = len(rows)
    nothing = np.full(size, np.nan)
    return Plays(
        listener=np.array([row[0] for row in rows], np.int32),
        session=None if session is None else np.array(session, np.int32),
        track=np.array([row[1] for row in rows], np.int32),
        at=np.array([row[2] for row in rows], np.int64) * 10**6,
        position=None if position is None else np.array(position),
        length_s=nothing,
        played_s=np.array([row[3] for row in rows], np.float64),
        share=nothing,
        stated=np.full(size, 255, np.uint8),
        line=np.arange(size),
        side={"row": np.arange(size)},
    )


def rules(**changed: object) -> CutRules:
    """Return rules with a gap of one minute and sessions of three plays, some of it changed."""
    usual: dict[str, object] = {"gap_minutes": 1.0, "max_length": 3, "ends": False, "newest_first": False}
    return CutRules(**{**usual, "drop_repeats": False, "guess": True, **changed})  # type: ignore[arg-type]


def naive(rows: list[Play], *, ends: bool) -> list[list[int]]:
    """Return the rows of each session, listener by listener."""
    found: list[list[int]] = []
    for listener in sorted({row[0] for row in rows}):
        end = None
        for row in sorted((r for r in range(len(rows)) if rows[r][0] == listener), key=lambda r: rows[r][2]):
            _, _, at, played = rows[row]
            lasted = 0 if np.isnan(played) else played
            start, stop = (at - lasted, at) if ends else (at, at + lasted)
            if end is None or start - end > 60 or len(found[-1]) == 3:
                found.append([])
            found[-1].append(row)
            end = stop
    return found


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 4), st.integers(0, 600), st.sampled_from([0.0, 20.0, 90.0, float("nan")])
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.booleans())
def test_histories_are_cut_as_a_loop_cuts_them(rows: list[Play], ends: bool) -> None:
    found = cut_plays(plays_of(rows), rules(ends=ends))
    order = found.plays.side["row"].tolist()
    sessions = [[order[i] for i in np.flatnonzero(found.session == s)] for s in range(found.session[-1] + 1)]
    assert sessions == naive(rows, ends=ends)


def test_a_gap_counts_from_the_end_of_a_long_play() -> None:
    rows = [(0, 0, 0, 300.0), (0, 1, 310, 10.0), (0, 2, 400, 10.0)]
    assert cut_plays(plays_of(rows), rules()).session.tolist() == [0, 0, 1]
    unknown = [(listener, track, at, float("nan")) for listener, track, at, _ in rows]
    assert cut_plays(plays_of(unknown), rules()).session.tolist() == [0, 1, 2]


def test_a_stated_session_belongs_to_its_listener_and_is_not_cut() -> None:
    rows = [(0, 0, 0, 1.0), (1, 1, 5, 1.0), (0, 2, 9000, 1.0), (1, 3, 2, 1.0)]
    found = cut_plays(plays_of(rows, session=[7, 7, 7, 7]), rules())
    assert found.plays.side["row"].tolist() == [0, 2, 3, 1]
    assert found.session.tolist() == [0, 0, 1, 1]


def test_a_position_orders_before_a_time_and_a_fraction_of_it_counts() -> None:
    rows = [(0, 0, 100, 1.0), (0, 1, 50, 1.0), (0, 2, 10, 1.0)]
    found = cut_plays(plays_of(rows, session=[0, 0, 0], position=[0.0, 0.5, 1.0]), rules())
    assert found.plays.side["row"].tolist() == [0, 1, 2]


STATED = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 1, 2, 9, 2**30]),
        st.sampled_from([-3.0, 0.0, 1.0, 2.0, 40.0, 0.5, 2.0**40, 2.0**61, 1e300, -1e300]),
    ),
    min_size=1,
    max_size=30,
)


@given(STATED, st.booleans())
def test_stated_sessions_stand_in_order_of_appearance_and_their_plays_by_position(
    rows: list[tuple[int, int, float]], whole: bool
) -> None:
    rows = [(listener, session, float(position > 0) if whole else position) for listener, session, position in rows]
    listeners, pairs = [row[0] for row in rows], [row[:2] for row in rows]
    plays = plays_of([(row[0], 0, 0, 1.0) for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    order = sorted(
        range(len(rows)), key=lambda row: (listeners.index(rows[row][0]), pairs.index(rows[row][:2]), rows[row][2])
    )
    assert cut_plays(plays, rules()).plays.side["row"].tolist() == order


@pytest.mark.parametrize(("newest_first", "order"), [(False, [0, 1, 2]), (True, [2, 1, 0])])
def test_plays_of_one_minute_stand_in_the_order_of_listening(newest_first: bool, order: list[int]) -> None:
    rows = [(0, track, 60, 5.0) for track in range(3)]
    found = cut_plays(plays_of(rows), rules(newest_first=newest_first))
    assert found.plays.side["row"].tolist() == order


def test_of_exact_repeats_the_first_stays() -> None:
    rows = [(0, 1, 10, 5.0), (0, 1, 10, 5.0), (0, 1, 10, 6.0), (1, 1, 10, 5.0), (0, 1, 10, 5.0), (0, 2, 10, 5.0)]
    found = cut_plays(plays_of(rows), rules(drop_repeats=True))
    assert found.plays.side["row"].tolist() == [0, 2, 5, 3]
    assert found.repeats == 2
    assert cut_plays(plays_of(rows), rules()).repeats == 0


def test_the_last_play_of_a_session_is_not_guessed() -> None:
    rows = [(0, 0, 0, float("nan")), (0, 1, 10, float("nan")), (0, 2, 50, float("nan")), (0, 3, 500, float("nan"))]
    assert cut_plays(plays_of(rows), rules()).strength.tolist() == [2, 1, 255, 255]
    assert cut_plays(plays_of(rows), rules(guess=False)).strength.tolist() == [255] * 4
