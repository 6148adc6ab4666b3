"""Records of Apple Music that belong to one play."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from segue.data.sources.apple_music import SOURCE, prepare, whole
from support.exports import apple_music as export
from support.exports import plain

SCRUB, PAUSE, END = "SCRUB_BEGIN", "PLAYBACK_MANUALLY_PAUSED", "NATURAL_END_OF_TRACK"
Record = tuple[str, str, str, str, str, str]


def plays(*records: Record) -> list[tuple[str | None, str | None]]:
    """Return start and milliseconds of the plays in records of (start, end, reason, milliseconds, title, artist)."""
    names = ("Event Start Timestamp", "Event End Timestamp", "End Reason Type", "Play Duration Milliseconds")
    schema = dict.fromkeys((*names, "Song Name", "Container Artist Name"), pl.String)
    day = [tuple(f"2023-03-05T{cell}Z" if cell.count(":") == 2 else cell for cell in record) for record in records]
    frame = whole(prepare(pl.DataFrame(day, schema=schema, orient="row")))
    left_out = SOURCE.mapping(tuple(frame.columns)).left_out
    assert left_out is not None
    kept = frame.filter(left_out.value.is_null()).sort(names[0])
    return [(start[11:19], ms) for start, ms in kept.select(names[0], names[3]).iter_rows()]


def test_the_times_played_of_its_parts_add_up_from_the_start_of_the_first() -> None:
    parts = [
        ("08:00:00", "08:00:10", SCRUB, "10000", "A", "B"),
        ("08:00:10", "08:00:40", PAUSE, "30000", "A", "B"),
        ("08:05:00", "08:05:20", END, "20000", "A", "B"),
    ]
    assert plays(*parts) == plays(*parts[::-1]) == [("08:00:00", "60000.0")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("08:00:00", "08:00:10", PAUSE, "10000", "A", "B"), ("08:00:20", "08:00:30", END, "10000", "A", "C")),
        (("08:00:00", "08:00:10", PAUSE, "10000", "A", "B"), ("08:00:20", "08:00:30", END, "10000", "D", "B")),
        (("08:00:00", "08:00:10", END, "10000", "A", "B"), ("08:00:20", "08:00:30", END, "10000", "A", "B")),
        (("08:00:00", "08:00:10", PAUSE, "10000", "A", "B"), ("08:20:11", "08:20:30", END, "10000", "A", "B")),
    ],
    ids=["another artist", "another title", "it had ended", "too late"],
)
def test_another_track_an_end_or_a_long_pause_begins_a_play(first: Record, second: Record) -> None:
    assert plays(first, second) == [(record[0], record[3]) for record in (first, second)]


def test_a_record_that_is_no_play_parts_nothing() -> None:
    parts = [("08:00:00", "08:00:10", SCRUB, "10000", "A", "B"), ("08:00:20", "08:00:30", END, "10000", "A", "B")]
    nameless = ("08:00:12", "08:00:15", END, "3000", "", "")
    assert plays(parts[0], nameless, parts[1]) == [("08:00:00", "20000.0")]


def test_neither_order_nor_missing_columns_change_the_number_of_records(tmp_path: Path) -> None:
    (sample,) = plain.samples(export.write(tmp_path), SOURCE.files)
    frame = prepare(sample.first)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=5)
    assert whole(shuffled).sort(pl.all()).equals(whole(frame).sort(pl.all()))
    for name in frame.columns:
        assert whole(frame.drop(name)).height == frame.height
