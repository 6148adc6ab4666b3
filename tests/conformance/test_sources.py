"""Every source: an export in its true format becomes its plays, by the public verb, whatever container it is in."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from exports.every import export, written
from segue.api.log_inputs import Cutting
from segue.api.prepare_source import prepare_source
from segue.data.sources import TITLES, source_of
from segue.errors import InputError
from segue.store import NUM_SPECIALS, Store

ACCEPT = ("years", "lone-plays", "shares")
"""Small made-up logs are implausible."""
CUTTING = Cutting(accept=ACCEPT)
READ = [name for name in TITLES if name != "kkbox"]


def identity(track: str | None, artist: str | None, title: str | None) -> str:
    """Return how a track is told from others."""
    if track is not None:
        return track
    return f"{' '.join((artist or '').lower().split())}\uff5c{' '.join((title or '').lower().split())}"


def wanted(name: str) -> list[list[str]]:
    """Return the tracks that each listener of an export heard, in order, listener by listener."""
    by_listener: dict[str, list[tuple[float, int, str]]] = {}
    seen = set()
    for place, play in enumerate(export(name).PLAYS):
        key = (play.listener, play.at, identity(play.track, play.artist, play.title), play.played_s)
        if source_of(name).repeats and key in seen:
            continue
        seen.add(key)
        by_listener.setdefault(play.listener or "", []).append((play.at or 0, place, key[2]))
    return [[track for *_, track in sorted(plays)] for _, plays in sorted(by_listener.items())]


def found(store: Store) -> list[list[str]]:
    """Return the same of a store."""
    ids = [store.vocabulary.track_id(int(row)) for row in store.tracks]
    user = store.side_column("user")
    owner = np.repeat(np.asarray(store.side("user")) if user else np.zeros(store.num_sessions), np.diff(store.offsets))
    return [[ids[row] for row in np.flatnonzero(owner == one)] for one in np.unique(owner)]


@pytest.mark.parametrize("name", READ)
def test_an_export_becomes_its_plays_in_order(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    report = prepare_source(path, tmp_path / "store", cutting=CUTTING, max_rejected=0.5)
    store = Store(tmp_path / "store")
    store.verify()
    assert store.manifest.source.kind == name
    assert report.recognised
    if store.side_column("at") is not None and not any(play.session for play in export(name).PLAYS):
        assert found(store) == wanted(name)
    assert sorted(chain(*found(store))) == sorted(chain(*wanted(name)))


@pytest.mark.parametrize("name", READ)
def test_what_is_no_track_is_left_out_and_counted(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    report = prepare_source(path, tmp_path / "store", cutting=CUTTING, max_rejected=0.5)
    left_out = {kind: count for kind, count in report.left_out.items() if kind != "duplicate"}
    assert left_out == export(name).LEFT_OUT


@pytest.mark.parametrize("name", READ)
def test_a_store_speaks_of_title_and_artist_where_the_log_does(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    prepare_source(path, tmp_path / "store", cutting=CUTTING, max_rejected=0.5)
    store, titles = Store(tmp_path / "store"), dict[str, tuple[str, str]]()
    for play in reversed(export(name).PLAYS):
        if play.title:
            titles[identity(play.track, play.artist, play.title)] = (play.title, play.artist or "")
    texts = [store.track_text(which) for which in ("title", "artist")]
    if not titles:
        return
    for row in range(store.num_tracks):
        track = store.vocabulary.track_id(row + NUM_SPECIALS)
        if track not in titles:
            continue  # a play without a title
        assert texts[0] is not None
        assert texts[0].text(row).lower() == titles[track][0].lower()


def test_a_source_is_registered_by_its_own_name_and_title() -> None:
    assert {name: source_of(name).name for name in TITLES} == {name: name for name in TITLES}
    assert {name: source_of(name).title for name in TITLES} == dict(TITLES)


def test_a_source_that_cannot_be_a_sequence_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = written("kkbox", tmp_path)
    with pytest.raises(InputError, match="KKBOX"):
        prepare_source(path, tmp_path / "store")


def test_what_no_source_recognises_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text("user,track\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="Looked for"):
        prepare_source(tmp_path / "plays.csv", tmp_path / "store")
