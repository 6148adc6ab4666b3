"""What a ListenBrainz listener loves and hates."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from segue.data.identities import track_of_alias
from segue.data.mapping import Mapping
from segue.data.opinions import opinions_of
from segue.data.sources import listenbrainz
from support.exports import listenbrainz as export
from support.exports import plain


def test_an_opinion_names_its_recording_by_either_id(tmp_path: Path) -> None:
    assert listenbrainz.SOURCE.opinions is not None
    (feedback,) = plain.samples(export.write(tmp_path), listenbrainz.SOURCE.opinions.files)
    listens = plain.samples(export.write(tmp_path), listenbrainz.SOURCE.files)
    track_of = track_of_alias([listenbrainz.other_ids(sample.first, Mapping()) for sample in listens])
    opinions = opinions_of([listenbrainz.scores(feedback.first, feedback.name)], track_of)
    last = dict(opinions.each.select("track", "score").iter_rows())
    tracks = {play.track: strength for play, strength in zip(export.PLAYS, export.STRENGTHS, strict=True)}
    assert {track: {1: 0, -1: 3, 0: None}[score] for track, score in last.items()} == tracks


def test_feedback_without_a_kind_of_id_is_read() -> None:
    only = pl.DataFrame({"recording_mbid": ["a", "b"], "score": ["1", "-1"]})
    opinions = listenbrainz.scores(only, "feedback.jsonl").drop_nulls("track")
    assert dict(opinions.select("track", "score").iter_rows()) == {"a": 1, "b": -1}


def test_the_feedback_file_is_no_file_of_listens(tmp_path: Path) -> None:
    (sample,) = plain.samples(export.write(tmp_path), ("*feedback.jsonl",))
    assert listenbrainz.SOURCE.recognise(sample) is None
