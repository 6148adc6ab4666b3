"""What a service has heard, exported as a log and prepared again, is the same events."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue import columns
from segue.serving.sessions.sqlite import SqliteSessions
from segue.serving.sessions.store import Logged, new_session_id
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.served_log import export_log

HOSTILE = (
    "plain",
    "a,b",
    'q"uote',
    '"',
    "  lead and trail  ",
    " ",
    "=1+1",
    "@SUM(A1)",
    "NaN",
    "nan",
    "null",
    "None",
    "<NA>",
    "007",
    "12.0",
    "1e5",
    "true",
    "track",
    "segue_log",
    "session,position,track,strength,time,segue_log",
    "🎵",
    "Björk",
    "Bjo\u0308rk",
    "\u2028line",
    "\u00a0",
    "\ufeffmark",
    ";",
    "sep=;",
    "x" * 1024,
)
ids = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
strengths = st.sampled_from((0, 1, 2, 3, 255))
times = st.floats(946_684_800, 1_764_000_000).map(lambda at: round(at, 6))
listeners = st.lists(st.none() | ids, min_size=6, max_size=6)
sessions = st.lists(st.lists(st.tuples(ids, strengths), min_size=1, max_size=30), min_size=1, max_size=6)


def _events(store: Path) -> list[list[tuple[str, int, int]]]:
    opened = Store(store)
    rows = zip(opened.tracks.tolist(), opened.strength.tolist(), opened.side("at").tolist(), strict=True)
    flat = [(opened.vocabulary.track_id(row), strength, at) for row, strength, at in rows]
    bounds = opened.offsets.tolist()
    return [flat[begin:end] for begin, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@settings(max_examples=30, deadline=None)
@given(heard=sessions, begun=times)
def test_a_served_log_is_prepared_to_the_events_that_were_told(
    form: str, heard: list[list[tuple[str, int]]], begun: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = [
            [Logged(track, strength, begun + 3.25 * place) for place, (track, strength) in enumerate(events)]
            for events in heard
        ]
        kept = SqliteSessions(Path(folder) / "s.sqlite")
        for events in told:
            kept.create(new_session_id(), "", events).result()
        kept.close()
        export_log(Path(folder) / "s.sqlite", Path(folder) / f"log.{form}")
        report = prepare(Path(folder) / f"log.{form}", Path(folder) / "store", PrepareOptions(source="table"))
        expected = [[(each.track, each.strength, math.floor(each.at)) for each in events] for events in told]
        assert _events(Path(folder) / "store") == expected
        assert (report.rejected, report.rows) == ({}, sum(map(len, told)))


@settings(max_examples=30, deadline=None)
@given(heard=sessions, whose=listeners)
def test_a_served_log_of_listeners_is_prepared_to_their_sessions(
    heard: list[list[tuple[str, int]]], whose: list[str | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept, names = SqliteSessions(Path(folder) / "s.sqlite"), [new_session_id() for _ in heard]
        for number, (name, events, listener) in enumerate(zip(names, heard, whose, strict=False)):
            told = [Logged(track, strength, 1e9 + 100 * number + i) for i, (track, strength) in enumerate(events)]
            kept.create(name, "", told, listener).result()
        kept.close()
        export_log(Path(folder) / "s.sqlite", Path(folder) / "log.csv")
        report = prepare(Path(folder) / "log.csv", Path(folder) / "store", PrepareOptions(source="table"))
        assert (report.rejected, report.rows) == ({}, sum(map(len, heard)))
        store = Store(Path(folder) / "store")
        known = [listener for listener in whose[: len(heard)] if listener is not None]
        assert (store.side_column(columns.USER) is not None) == bool(known)
        if known:
            owners = [listener or name for name, listener in zip(names, whose, strict=False)]
            ranks = {name: rank for rank, name in enumerate(sorted(set(owners), key=str.encode))}
            expected, found = (defaultdict[int, list[list[tuple[str, int]]]](list) for _ in range(2))
            for owner, events in zip(owners, heard, strict=False):
                expected[ranks[owner]].append(events)
            for rank, read in zip(np.asarray(store.side(columns.USER)).tolist(), _events(store.path), strict=True):
                found[rank].append([(track, strength) for track, strength, _ in read])
            assert found == expected, "by listener, in the order in which they began"
