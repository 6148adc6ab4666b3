"""Files of one export that say something of one another's plays: opinions, ids, plays that two of them hold."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from segue.data.cutting import Cutting
from segue.data.job import PrepareReport
from segue.errors import InputError
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.exports import listenbrainz, spotify, spotify_account, yambda

BY_LISTENER = sorted(range(len(yambda.PLAYS)), key=lambda place: yambda.PLAYS[place].listener or "")
"""Yambda's plays in the order of a store."""
CUTTING = Cutting(accept=("years", "lone-plays", "shares"))


def prepared(path: Path | list[Path], folder: Path, source: str = "auto") -> tuple[Store, PrepareReport]:
    """Return the store of a log below `folder`, and what preparing said."""
    report = prepare(path, folder / "store", PrepareOptions(source=source, cutting=CUTTING, overwrite=True))
    return Store(folder / "store"), report


def tracks(store: Store) -> list[str]:
    """Return the track of each event."""
    return [store.vocabulary.track_id(int(row)) for row in store.tracks]


def known(store: Store) -> list[str]:
    """Return how the strength of each event is known."""
    column = store.side_column("known")
    assert column is not None
    return [column.categories[code] for code in np.asarray(store.side("known"))]


def test_what_is_loved_or_hated_is_stated_for_all_plays_of_the_recording_and_others_are_guessed(tmp_path: Path) -> None:
    store, _ = prepared(listenbrainz.write(tmp_path), tmp_path)
    judged = [strength is not None for strength in listenbrainz.STRENGTHS]
    assert [how == "told" for how in known(store)] == judged
    assert "guessed" in known(store)
    strengths = np.asarray(store.strength)[judged].tolist()
    assert strengths == [strength for strength in listenbrainz.STRENGTHS if strength is not None]


def test_an_export_of_who_loves_nothing_is_read(tmp_path: Path) -> None:
    listens = listenbrainz.write(tmp_path)
    with zipfile.ZipFile(listens) as archive, zipfile.ZipFile(tmp_path / "bare.zip", "w") as bare:
        for name in archive.namelist():
            bare.writestr(name, b"" if name == "feedback.jsonl" else archive.read(name))
    store, _ = prepared(tmp_path / "bare.zip", tmp_path)
    assert set(known(store)) <= {"guessed", "unknown"}


def test_a_damaged_file_of_opinions_is_refused_by_its_name(tmp_path: Path) -> None:
    listens = listenbrainz.write(tmp_path)
    with zipfile.ZipFile(listens) as archive, zipfile.ZipFile(tmp_path / "broken.zip", "w") as broken:
        for name in archive.namelist():
            end = b'{"recording_mbid": \n' if name == "feedback.jsonl" else b""
            broken.writestr(name, archive.read(name) + end)
    with pytest.raises(InputError, match=r"feedback\.jsonl"):
        prepare(tmp_path / "broken.zip", tmp_path / "store")


@pytest.mark.parametrize("write", [yambda.write, yambda.write_sequential])
def test_listens_alone_are_judged_by_their_share(write: Any, tmp_path: Path) -> None:
    store, report = prepared(write(tmp_path), tmp_path)
    assert np.asarray(store.strength).tolist() == [yambda.STRENGTHS[place] for place in BY_LISTENER]
    assert np.asarray(store.side("is_organic")).tolist() == [yambda.ORGANIC[place] for place in BY_LISTENER]
    assert report.left_out == {}


@pytest.mark.parametrize(
    ("write", "left_out"),
    [
        (yambda.write_multi_event, yambda.OPINIONS_LEFT_OUT),
        (yambda.write_sequential_events, yambda.OPINIONS_LEFT_OUT),
        (yambda.write_flat_files, {}),
        (yambda.write_sequential_files, {}),
    ],
)
def test_likes_and_dislikes_during_a_play_tell_of_it_in_every_layout(
    write: Any, left_out: dict[str, int], tmp_path: Path
) -> None:
    store, report = prepared(write(tmp_path), tmp_path)
    assert tracks(store) == [yambda.PLAYS[place].track for place in BY_LISTENER]
    assert np.asarray(store.strength).tolist() == [yambda.JUDGED_STRENGTHS[place] for place in BY_LISTENER]
    assert report.left_out == left_out


def test_a_file_that_is_called_as_one_of_opinions_and_is_none_is_left_alone(tmp_path: Path) -> None:
    folder = yambda.write(tmp_path).parent
    pl.DataFrame({"page": ["a"], "likes": [7]}).write_parquet(folder / "likes.parquet")
    store, _ = prepared(folder, tmp_path)
    assert np.asarray(store.strength).tolist() == [yambda.STRENGTHS[place] for place in BY_LISTENER]


def test_likes_alone_are_no_log(tmp_path: Path) -> None:
    likes = yambda.write_flat_files(tmp_path) / "flat" / "50m" / "likes.parquet"
    with pytest.raises(InputError):
        prepare(likes, tmp_path / "store")


def test_a_track_that_some_years_name_without_id_is_one_track(tmp_path: Path) -> None:
    store, _ = prepared(spotify.write(tmp_path), tmp_path)
    assert all(track.startswith("spotify:track:") for track in tracks(store))


def test_a_play_that_an_old_export_holds_without_id_and_a_new_one_with_it_is_one_play(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    record = {"ts": "2020-01-10T20:00:00Z", "ms_played": 200_000, "reason_end": "trackdone"}
    record |= {"master_metadata_track_name": "Ferns", "master_metadata_album_artist_name": "Ada Blue"}
    for name, records in {
        "endsong_0.json": [record],
        "Streaming_History_Audio_2020_0.json": [record | {"spotify_track_uri": "spotify:track:1"}],
    }.items():
        (folder / name).write_text(json.dumps(records), encoding="utf-8")
    store, report = prepared(folder, tmp_path)
    assert tracks(store) == ["spotify:track:1"]
    assert report.left_out == {"duplicate": 1}


@pytest.mark.parametrize("source", ["auto", "spotify"])
def test_the_account_export_adds_what_the_extended_history_does_not_hold(source: str, tmp_path: Path) -> None:
    account = [
        ("2014-05-01 10:02", "The Paper Boats", "Harbour Lights", 1_000),
        ("2014-05-01 10:03", "The Paper Boats", "Harbour Lights", 190_000),
        ("2025-08-13 14:16", "Mira Vale", "Glass Stairs", 60_000),
        ("2025-08-13 14:17", "Mira Vale", "Glass Stairs", 61_000),
        ("2025-08-13 14:20", "Somebody", "New", 9_000),
    ]
    records = [dict(zip(("endTime", "artistName", "trackName", "msPlayed"), row, strict=True)) for row in account]
    path = tmp_path / "StreamingHistory_music_0.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    store, report = prepared([path, spotify.write(tmp_path)], tmp_path, source)
    assert store.manifest.source.kind == "spotify"
    assert report.left_out["also-in-spotify"] == 2
    assert tracks(store)[0] == "spotify:track:0000000000000000000000"
    assert tracks(store)[-2:] == ["spotify:track:0000000000000000000003", "somebody\uff5cnew"]


def test_albums_that_the_log_holds_stand_in_the_track_table(tmp_path: Path) -> None:
    store, _ = prepared(spotify.write(tmp_path), tmp_path)
    albums = store.track_text("album")
    assert albums is not None
    assert "Low Tide" in [albums.text(row) for row in range(store.num_tracks)]


@pytest.mark.parametrize("below", ["", "listens", "listens/2024"])
def test_months_of_listens_are_read_from_whatever_folder_is_named(below: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(listenbrainz.write(tmp_path)) as archive:
        archive.extractall(tmp_path / "export")
    store, _ = prepared(tmp_path / "export" / below, tmp_path)
    assert store.manifest.source.kind == "listenbrainz"
    assert len(tracks(store)) == (3 if below.endswith("2024") else 5)
    assert ("told" in known(store)) == (below == "")


@pytest.mark.parametrize("inner", ["", "Spotify Extended Streaming History"])
def test_an_unpacked_history_is_that_of_the_archive(inner: str, tmp_path: Path) -> None:
    packed = spotify.write(tmp_path)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked")
    stores = [
        prepared(path, tmp_path / kept)[0] for path, kept in ((packed, "a"), (tmp_path / "unpacked" / inner, "b"))
    ]
    assert tracks(stores[0]) == tracks(stores[1])
    assert stores[0].manifest.fingerprint == stores[1].manifest.fingerprint


def test_one_file_of_a_history_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    with zipfile.ZipFile(spotify.write(tmp_path)) as archive:
        records = archive.read("Spotify Extended Streaming History/endsong_1.json")
    (tmp_path / "mine.json").write_bytes(records)
    store, report = prepared(tmp_path / "mine.json", tmp_path)
    assert (store.manifest.source.kind, report.rows) == ("spotify", 4)


def test_what_may_stand_beside_a_source_is_none_of_it_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing of Spotify, extended"):
        prepare(spotify_account.write(tmp_path), tmp_path / "store", PrepareOptions(source="spotify"))


def test_a_rejected_row_stands_as_read(tmp_path: Path) -> None:
    record = {"ts": "soon", "ms_played": 1, "spotify_track_uri": "spotify:track:1"}
    good = record | {"ts": "2020-01-10T20:00:00Z"}
    (tmp_path / "endsong_0.json").write_text(json.dumps([record, good]), encoding="utf-8")
    report = prepare(tmp_path / "endsong_0.json", tmp_path / "store", PrepareOptions(cutting=CUTTING, max_rejected=1.0))
    assert report.rejected_file is not None
    assert report.rejected_file.read_text(encoding="utf-8").splitlines()[1].endswith('"soon,1,spotify:track:1"')


def test_exports_of_two_services_are_no_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several sources"):
        prepare([listenbrainz.write(tmp_path), spotify_account.write(tmp_path)], tmp_path / "store")
