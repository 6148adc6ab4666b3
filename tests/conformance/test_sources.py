"""Every source: an export in its true format becomes its plays, by the public verb, whatever container it is in."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from segue.data.cutting import Cutting
from segue.data.sources import TITLES, source_of
from segue.errors import InputError
from segue.store import NUM_SPECIALS, Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.exports.every import export, written
from support.exports.play import Play

ACCEPT = ("years", "lone-plays", "shares")
"""Small made-up logs are implausible."""
CUTTING = Cutting(accept=ACCEPT)
"""Where a name is no name of a module."""
READ = [name for name in TITLES if name != "kkbox"]


def folded(play: Play) -> str:
    """Return artist and title in the spelling that is an identity."""
    return f"{' '.join((play.artist or '').lower().split())}\uff5c{' '.join((play.title or '').lower().split())}"


def identities(plays: Sequence[Play]) -> list[str]:
    """Return how the track of each play is told from others: its id, the only one of its artist and title, or these."""
    ids: dict[str, set[str]] = {}
    for play in plays:
        if play.track is not None and play.artist is not None:
            ids.setdefault(folded(play), set()).add(play.track)
    return [
        play.track or min(only if len(only := ids.get(folded(play), set())) == 1 else {folded(play)}) for play in plays
    ]


def wanted(name: str) -> list[list[str]]:
    """Return the tracks that each listener of an export heard, in order, listener by listener."""
    by_listener: dict[str, list[tuple[float, int, str]]] = {}
    seen = set()
    plays = export(name).PLAYS
    for place, (play, track) in enumerate(zip(plays, identities(plays), strict=True)):
        key = (play.listener, play.at, track, play.played_s)
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
    report = prepare(path, tmp_path / "store", PrepareOptions(cutting=CUTTING, max_rejected=0.5))
    store = Store(tmp_path / "store")
    store.verify()
    assert store.manifest.source.kind == name
    assert report.recognised
    if store.side_column("at") is not None and not any(play.session for play in export(name).PLAYS):
        assert found(store) == wanted(name)
    assert sorted(chain(*found(store))) == sorted(chain(*wanted(name)))


@pytest.mark.parametrize("name", READ)
def test_an_export_inside_an_archive_inside_an_archive_gives_the_same_plays(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inner.write(file, file.relative_to(path.parent))
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as download:
        download.write(tmp_path / "inner.zip", "Data/inner.zip")
    stores = [Store(prepared(path, tmp_path / kept)) for path, kept in ((path, "a"), (tmp_path / "download.zip", "b"))]
    assert stores[0].manifest.source.kind == stores[1].manifest.source.kind == name
    assert found(stores[0]) == found(stores[1])


def prepared(path: Path, store: Path) -> Path:
    """Return `store`, made of the log at `path`."""
    return prepare(path, store, PrepareOptions(cutting=CUTTING, max_rejected=0.5)).store


@pytest.mark.parametrize("name", READ)
def test_what_is_no_track_is_left_out_and_counted(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    report = prepare(path, tmp_path / "store", PrepareOptions(cutting=CUTTING, max_rejected=0.5))
    left_out = {kind: count for kind, count in report.left_out.items() if kind != "duplicate"}
    assert left_out == export(name).LEFT_OUT


@pytest.mark.parametrize("name", READ)
def test_a_store_speaks_of_title_and_artist_where_the_log_does(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    prepare(path, tmp_path / "store", PrepareOptions(cutting=CUTTING, max_rejected=0.5))
    store, titles = Store(tmp_path / "store"), dict[str, tuple[str, str]]()
    plays = export(name).PLAYS
    for play, track in zip(reversed(plays), reversed(identities(plays)), strict=True):
        if play.title:
            titles[track] = (play.title, play.artist or "")
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
        prepare(path, tmp_path / "store")


def test_what_no_source_recognises_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text("user,track\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="Looked for"):
        prepare(tmp_path / "plays.csv", tmp_path / "store")
