"""What a ListenBrainz listener loves and hates."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from exports import listenbrainz as export
from exports import plain
from segue.data.sources import listenbrainz


def _feedback(folder: Path) -> pl.DataFrame:
    (sample,) = plain.samples(export.write(folder), listenbrainz.FEEDBACK_FILES)
    return sample.first


def test_the_last_score_of_an_id_counts_and_either_id_will_do(tmp_path: Path) -> None:
    scores = listenbrainz.scores(_feedback(tmp_path))
    assert dict(scores.iter_rows()) == export.SCORES
    assert scores.schema == {"track": pl.String, "score": pl.Int8}


def test_a_score_by_the_id_of_a_spelling_reaches_the_matched_recording(tmp_path: Path) -> None:
    scores = listenbrainz.scores(_feedback(tmp_path))
    listens = plain.samples(export.write(tmp_path), listenbrainz.SOURCE.files)
    ids = pl.concat([listenbrainz.other_ids(sample.first) for sample in listens])
    joined = ids.join(scores, left_on="other_id", right_on="track").select("track", "score").unique()
    assert dict(joined.iter_rows()) == export.TRACK_SCORES
    assert joined["track"].is_unique().all()


def test_feedback_without_a_kind_of_id_is_read() -> None:
    only = pl.DataFrame({"recording_mbid": ["a", "b"], "score": ["1", "-1"]})
    assert dict(listenbrainz.scores(only).iter_rows()) == {"a": 1, "b": -1}


def test_the_feedback_file_is_no_file_of_listens(tmp_path: Path) -> None:
    (sample,) = plain.samples(export.write(tmp_path), listenbrainz.FEEDBACK_FILES)
    assert listenbrainz.SOURCE.recognise(sample) is None
