"""Opinions of tracks, joined to plays."""

from __future__ import annotations

import polars as pl
import pytest

from segue.data.identities import track_of_alias
from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.opinions import SCHEMA, mapping_with_opinions, opinions_of, records_with_opinions
from segue.data.records.block import RecordBlock
from segue.data.typed import typed

MAPPING = Mapping(
    time=Time(pl.col("at"), "at", unit="s"),
    track=Column.of("track"),
    listener=Column.of("listener"),
    share=Column.of("share"),
    length=Amount(pl.col("length"), "length"),
)
UNKNOWN = 255
Opinion = tuple[str, str, int, float | None]


def told(plays: list[tuple[float, str, float | None]], opinions: list[Opinion], mapping: Mapping) -> list[int]:
    """Return the stated strengths of plays (time, track, share) of listener "a" of tracks 100 s long."""
    schema = {"at": pl.Float64, "track": pl.String, "share": pl.Float64}
    frame = pl.DataFrame(plays, schema=schema, orient="row").with_columns(
        pl.lit("a").alias("listener"), pl.lit(100.0).alias("length")
    )
    table = opinions_of([pl.DataFrame(opinions, schema=SCHEMA, orient="row")], track_of_alias([]))
    frame = records_with_opinions(frame, mapping, table)
    lines = pl.int_range(frame.height, eager=True).to_numpy()
    return typed(RecordBlock(frame, lines), mapping_with_opinions(mapping), "log").frame["stated"].to_list()


def test_the_last_word_counts_for_all_plays_of_the_track_that_nothing_measures() -> None:
    plays = [(0.0, "x", None), (5_000.0, "x", None), (6_000.0, "y", None), (7_000.0, "x", 0.3)]
    opinions = [("a", "x", 1, 10_000.0), ("a", "x", -1, 20_000.0), ("b", "y", 1, 10_000.0)]
    assert told(plays, opinions, MAPPING) == [3, 3, UNKNOWN, UNKNOWN]


def test_an_opinion_that_was_taken_back_says_nothing() -> None:
    assert told([(0.0, "x", None)], [("a", "x", 1, 900.0), ("a", "x", 0, 1_000.0)], MAPPING) == [UNKNOWN]


def test_an_opinion_without_a_time_comes_before_all_others() -> None:
    assert told([(0.0, "x", None)], [("a", "x", 1, 9e9), ("a", "x", -1, None)], MAPPING) == [0]


@pytest.mark.parametrize(
    ("at", "strengths"), [(1_050.0, [UNKNOWN, 0]), (950.0, [UNKNOWN, 0]), (1_200.0, [UNKNOWN] * 2)]
)
def test_an_opinion_during_a_play_tells_of_it_whatever_was_measured(
    at: float,
    strengths: list[int],
) -> None:
    assert told([(0.0, "x", 0.3), (1_000.0, "x", 0.3)], [("a", "x", 1, at)], MAPPING) == strengths


def test_of_two_opinions_during_a_play_the_last_counts() -> None:
    assert told([(0.0, "x", 1.0)], [("a", "x", 1, 10.0), ("a", "x", -1, 20.0)], MAPPING) == [3]


def test_what_a_log_states_of_a_play_comes_before_opinions() -> None:
    stated = Mapping(**{**vars(MAPPING), "stated": Column(pl.lit(2, pl.UInt8), "flag")})
    assert told([(0.0, "x", 1.0)], [("a", "x", 1, 10.0)], stated) == [2]


def test_a_log_without_listeners_is_of_one() -> None:
    alone = Mapping(time=MAPPING.time, track=MAPPING.track)
    assert told([(0.0, "x", None), (1.0, "y", None)], [("", "x", -1, 10.0)], alone) == [3, UNKNOWN]
