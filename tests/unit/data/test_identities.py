"""One track, one id: names that stand for exactly one id."""

from __future__ import annotations

import polars as pl

from segue.data.identities import names_as_aliases, track_of_alias, with_one_id
from segue.data.mapping import Column, Mapping

MAPPING = Mapping(track=Column.of("id"), title=Column.of("title"), artist=Column.of("artist"))


def aliases(*rows: tuple[str | None, str | None, str | None]) -> pl.DataFrame:
    """Return the aliases in records of (id, artist, title)."""
    schema = dict.fromkeys(("id", "artist", "title"), pl.String)
    return names_as_aliases(pl.DataFrame(rows, schema=schema, orient="row"), MAPPING)


def test_a_name_stands_for_its_only_id_however_it_is_spelled() -> None:
    pairs = aliases(("x", "Ada  Blue", "Ferns"), ("x", "ada blue", "FERNS"), (None, "Cy", "Moss"))
    assert pairs.rows() == [("ada blue\uff5cferns", "x")]
    track_of = track_of_alias([pairs])
    ids = pl.Series("track", ["ada blue\uff5cferns", "x", "cy\uff5cmoss"])
    assert with_one_id(ids, track_of).to_list() == ["x", "x", "cy\uff5cmoss"]


def test_a_name_of_two_ids_stands_for_itself_also_where_files_know_one_each() -> None:
    track_of = track_of_alias([aliases(("x", "Ada", "Ferns")), aliases(("y", "Ada", "Ferns"))])
    assert track_of.is_empty()


def test_a_title_alone_is_no_name() -> None:
    assert aliases(("x", None, "Intro"), ("", "Ada", "Intro")).is_empty()


def test_an_alias_of_an_alias_is_the_last_track_and_circles_end() -> None:
    pairs = pl.DataFrame({"alias": ["a", "b", "c", "u", "v"], "track": ["b", "c", "d", "v", "u"]})
    ids = pl.Series("track", ["a", "b", "c", "d"])
    track_of = track_of_alias([pairs])
    assert with_one_id(ids, track_of).to_list() == ["d"] * 4
    assert set(with_one_id(pl.Series("track", ["u", "v"]), track_of)) <= {"u", "v"}


def test_an_alias_of_itself_takes_nothing_from_its_other_track() -> None:
    pairs = pl.DataFrame({"alias": ["spelling", "spelling"], "track": ["spelling", "recording"]})
    assert track_of_alias([pairs]).rows() == [("spelling", "recording")]
